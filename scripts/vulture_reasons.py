"""What vulture takes for dead and is not, with the reasons. vulture reads this as code that uses the names.

Not to be run. A name that is used again, or is gone, is to be taken out: tests/unit/test_dead_code.py says so.
"""

# --- called or read by the library that they are given to --------------------------------------------

_.background  # starlette: of a response
_.regex, _.to_string  # starlette: of a convertor
_.capture_signals, _.should_exit  # uvicorn: of a server
_.handle_request  # httpx: of a transport
_.isolation_level  # sqlite3: of a connection
_.max_stmt_length  # PyMySQL: of a cursor
LoginPlugin, _.authenticate  # amqtt: named in its configuration
AccessPlugin, _.topic_filtering  # amqtt: named in its configuration
_._topic_filtering, _.stream_connected  # amqtt: of a broker
_._ServerProxy__transport, verbose, _.trust_env  # xmlrpc.client and requests, which pyone is made of
_.auth_timeout, _.banner_timeout, _.handshake_timeout  # paramiko: of a transport
_._ssl_wrap_socket, _.max_inflight_messages  # paho: of a client
_.on_disconnect, _.on_subscribe, _.on_message, _.on_publish, _.on_socket_open  # paho: of a client
_.on_socket_register_write  # paho: of a client
_.redirect_request  # urllib: of a handler
_.handle_starttag  # html.parser: of a parser

# --- read by their names ------------------------------------------------------------------------------

_.down_revision, _.branch_labels, _.depends_on  # alembic: of a migration
_.REPLACE, _.KEEP_SUCCEEDED  # values of --merge_strategy
_.hydraulic_step, _.report_step  # options of an EPANET task
_.warning_codes, _.periods, _.expected_periods, _.wall_ms  # columns of runs.parquet
_.lose_answer, _.lose_call, _.never_boot, _.twice, _.die  # faults of the fake site

# --- for users and programs outside -------------------------------------------------------------------

_.kept_files, _.hindrances, _.why_not_more_kind, _.why_not_fewer_kind  # keys of /api/v1
_.bytes_moved  # of a message of the datastore: for who looks at the broker, and for benchmarks/data_plane.py

# --- on purpose ---------------------------------------------------------------------------------------

starving  # an invariant as those of `check`: the tests ask for both after each turn
_.mtime_ns  # a row is compared and stored whole
OutputPart, _.output  # live output: its message and its topic are there, who writes and reads it comes
