"""How settings are written: types, units, limits, pools, former names. The table of settings itself is settings.py.

    settings.load ── values      Setting: one row of the table; parse: a written value by its row; names that settings
                  │              had, which work for one release with a warning
                  └─ pools       POOL_SETTINGS: the table of what [pools.NAME] may say; read_pools, check_pool

What cannot be used raises a ConfigurationError: of one value, or as SettingsError of all of them, each with its place.

Pure: it opens no file and reads no environment (settings.py does, and hands in what they say), knows no provider, and
nothing of what a value is for. `boss.setup` turns the values into what the boss's parts take.
"""
