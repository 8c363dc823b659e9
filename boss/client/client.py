"""The client of the HTTP API that `push_tasks.py`, `admin.py` and scripts use, over a network or in this process.

Knows the routes and their bodies; where a boss is found stands in `boss.client.find`. One Client serves one thread.

    ClientError
    ├── RequestRefusedError   the boss answered with an error: status, sentence, details
    ├── NoAnswerError         no answer, or the connection broke
    ├── BossLostError         the boss that was followed has ended before the batch did
    └── DownloadError         this machine: a result cannot be written where it belongs
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from boss.api import schema
from wire.http import PREFIX

#: A change waits for the boss's transaction; a large graph takes it some seconds.
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_SUBMIT_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
#: A follower hears something at least every few seconds.
_FOLLOW_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
#: Each check of a worker's host has a timeout of its own.
_DEBUG_TIMEOUT = httpx.Timeout(150.0, connect=5.0)

#: Results of one page.
_RESULTS_AT_ONCE = 5_000

#: Statuses of what comes piece by piece; 202: it is not there yet.
_STREAMED = (200, 202, 206)
_JSON = {"content-type": "application/json"}

T = TypeVar("T")
Page = TypeVar("Page", schema.TaskList, schema.ResultList)


class ClientError(Exception):
    """The text is a sentence for users."""


class RequestRefusedError(ClientError):
    """The boss answered with an error: `status` of HTTP, `details` a line each (both as in docs/http-api.md)."""

    def __init__(self, status: int, answer: schema.ErrorAnswer) -> None:
        super().__init__(answer.error)
        self.status = status
        self.details = answer.details


class NoAnswerError(ClientError):
    """No answer."""


class BossLostError(ClientError):
    """The boss ended before the batch did."""


class Client:
    """One boss, or the application in this process (then `transport` drives it).

    Each method that asks the boss blocks until the answer is there (iterators: while they are read). "Refused with" a
    status stands for RequestRefusedError of that `status`. Each raises NoAnswerError where the boss cannot be reached
    (5 s), is silent for 60 s (600 s for a push or a file that is sent), or answers in another format; in a line of
    `follow` or `debug`, or the progress that `content` gives, that is msgspec.DecodeError. Each is refused with 401 or
    403 for a wrong token or address, and with 503 while the boss or its database is away.
    """

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._token, self._transport = token, transport
        # trust_env: no proxy of the environment stands between us and a boss, and no netrc is sent to it.
        # verify: reading all certificates that this machine trusts takes as long as some hundred questions.
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {token}"},
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=False,
            verify=not self.url.startswith("http:"),
        )

    def close(self) -> None:
        """End the connections; with a `transport` also that one, which the clients of `another` share."""
        self._http.close()

    def another(self) -> Client:
        """For another thread: the same boss."""
        return Client(self.url, self._token, self._transport)

    # --- reading ---------------------------------------------------------------------------------------

    def status(self) -> schema.StatusAnswer:
        """Counts of all tasks, and why work waits. Answered also while the database of a running boss is away."""
        return self._get("/status", schema.StatusAnswer)

    def batches(self) -> list[schema.BatchAnswer]:
        """All batches, oldest first, but for those of which every task was dropped."""
        return self._get("/batches", schema.BatchList).batches

    def batch(self, number: int, wait: float = 0.0) -> schema.BatchAnswer:
        """One batch; with `wait` not before it is finished or so many seconds (60 at most) have passed.

        Refused with 404: there is none.
        """
        return self._get(f"/batches/{number}", schema.BatchAnswer, wait=wait)

    def workers(self) -> list[schema.WorkerAnswer]:
        """Workers with what they hold, but for those that are gone."""
        return self.worker_list().workers

    def worker_list(self) -> schema.WorkerList:
        """And instances that have no worker at present."""
        return self._get("/workers", schema.WorkerList)

    def pools(self) -> list[schema.PoolAnswer]:
        """Pools of the settings, then those of which only instances are left."""
        return self._get("/pools", schema.PoolList).pools

    def instances(self, pool: str = "") -> list[schema.InstanceAnswer]:
        """Instances that have not ended; `pool` empty: of all pools. Refused with 404: there is no such pool."""
        return self._get("/instances", schema.InstanceList, pool=pool).instances

    def tasks(self, *states: str, batch: int = 0, project: str = "", limit: int = 0) -> Iterator[schema.TaskAnswer]:
        """All that match, page by page; `limit` 0 is all, `batch` 0 and `project` empty are any.

        Refused with 400: no state of a task; 404: no such batch.
        """
        pages = self._pages(schema.TaskList, "/tasks", state=",".join(states), batch=batch, project=project)
        return islice((task for page in pages for task in page.tasks), limit or None)

    def task(self, project: str, id: str) -> schema.TaskDetail:
        """One task by its id, with all attempts. Refused with 404: there is none."""
        return self._get(f"/tasks/by_id/{_part(project)}/{_part(id)}", schema.TaskDetail)

    def task_commands(self, number: int) -> list[schema.DerivedCommand]:
        """What a worker does for the task of this number, transfers included. Refused with 404: there is none."""
        return self._get(f"/tasks/{number}/commands", schema.CommandsAnswer).commands

    def story(self, number: int) -> schema.StoryAnswer:
        """Every move of the task of this number and of its attempts, oldest first. Refused with 404: there is none."""
        return self._get(f"/tasks/{number}/story", schema.StoryAnswer)

    def last_events(self, count: int, task: int = 0) -> schema.EventsAnswer:
        """The newest events, up to `count` (100,000 at most), of one task or with 0 of all.

        Refused with 400: `count` is out of bounds; 404: there is no such task.
        """
        return self._get("/events", schema.EventsAnswer, last=count, task=task)

    def events(self, after: int = 0, since: float = 0.0, task: int = 0) -> schema.EventsAnswer:
        """One page of events in turns above `after`, not before `since`; `next` of it is the `after` of the next.

        `since`: seconds since 1970. `task`: number, 0 is all. Refused with 404: there is no such task.
        """
        return self._get("/events", schema.EventsAnswer, after=after, since=since, task=task)

    def follow(self, batch: int) -> Iterator[schema.BatchAnswer]:
        """The batch whenever it has changed, until it is finished; meanwhile the boss counts a follower.

        Blocks between lines. Raises NoAnswerError: the connection broke or was silent for 30 s; RequestRefusedError
        404: no such batch. The last one is unfinished where the boss stops, or none runs.
        """
        return self._lines(schema.BatchAnswer, "GET", f"/batches/{batch}/follow", timeout=_FOLLOW_TIMEOUT)

    # --- changing --------------------------------------------------------------------------------------

    def cancel(self, selection: schema.SelectionRequest) -> schema.ChangeAnswer:
        """Cancel what is unfinished or blocked of the selection.

        Refused with 400: no valid selection; 404: unknown tasks or batches; 409: as things stand.
        """
        return self._post("/cancel", selection, schema.ChangeAnswer)

    def retry(self, selection: schema.SelectionRequest) -> schema.ChangeAnswer:
        """Run what has failed of the selection again. Refused as `cancel` is."""
        return self._post("/retry", selection, schema.ChangeAnswer)

    def redo(self, selection: schema.SelectionRequest) -> schema.ChangeAnswer:
        """Run what has ended of the selection again, also succeeded tasks. Refused as `cancel` is; 400 for `all`."""
        return self._post("/redo", selection, schema.ChangeAnswer)

    def drop_tasks(self, request: schema.DropTasksRequest) -> schema.ChangeAnswer:
        """Forget tasks of the selection in one of the states; without states, all of it.

        `done` counts `dropped`, `asked` and `needed`. Refused as `cancel` is, and with 400: no state of a task.
        """
        return self._post("/tasks/drop", request, schema.ChangeAnswer)

    def quarantine(self, worker: str, reason: str) -> schema.ChangeAnswer:
        """Send the worker no tasks until `release`. Refused with 404: no such worker; 409: as things stand."""
        return self._worker(worker, "quarantine", schema.ReasonRequest(reason=reason))

    def release(self, worker: str) -> schema.ChangeAnswer:
        """End the quarantine of the worker. Refused as `quarantine` is."""
        return self._worker(worker, "release", schema.EmptyRequest())

    def drain(self, worker: str) -> schema.ChangeAnswer:
        """Let the worker finish what it holds, and send it nothing new until `resume`. Refused as `quarantine` is."""
        return self._worker(worker, "drain", schema.EmptyRequest())

    def resume(self, worker: str) -> schema.ChangeAnswer:
        """End draining of the worker. Refused as `quarantine` is."""
        return self._worker(worker, "resume", schema.EmptyRequest())

    def debug(self, worker: str) -> Iterator[schema.DebugLine]:
        """Checks of a worker's host, a line each as results come; the last one has `ended`.

        Blocks between lines. Raises NoAnswerError: silent for 150 s; RequestRefusedError 404: no such worker, 503: no
        boss runs.
        """
        path = f"/workers/{_part(worker)}/debug"
        return self._lines(schema.DebugLine, "POST", path, content=b"{}", headers=_JSON, timeout=_DEBUG_TIMEOUT)

    def start_workers(self, count: int, pool: str, keep_alive: bool) -> schema.StartedAnswer:
        """Start so many workers (10,000 at most) in the pool; empty: the one that is used first.

        Refused with 400: `count` is out of bounds; 404: no such pool; 409: as things stand; 503: no boss runs.
        """
        request = schema.StartRequest(count=count, pool=pool, keep_alive=keep_alive)
        return self._post("/workers/start", request, schema.StartedAnswer)

    def terminate_workers(self, request: schema.TerminateRequest) -> schema.TerminatedAnswer:
        """Terminate workers and their machines: ids of those ended and of those that finish their tasks first.

        Refused with 400: no valid selection; 404: unknown names; 409: the boss did not start it; 503: no boss runs.
        """
        return self._post("/workers/terminate", request, schema.TerminatedAnswer)

    def drop_workers(self, request: schema.DropRequest) -> schema.DroppedAnswer:
        """Forget workers; their machines keep running. Returns their ids.

        Refused with 400: both ids and `all`; 404: unknown worker; 409: as things stand; 503: no boss runs.
        """
        return self._post("/workers/drop", request, schema.DroppedAnswer)

    def login(
        self,
        name: str,
        folder: str,
        *,
        pool: str | None = None,
        labels: dict[str, str] | None = None,
        slots: int | None = None,
    ) -> schema.LoginAnswer:
        """The login of a worker, or of `datastore`, on another host, created if there is none; its `files` are secret.

        `folder`: absolute, on that host; `pool`, `labels`, `slots`: None leaves it as it was. Refused with 400: a wrong
        name or value; 409: the boss starts this worker; 503: no boss runs, or the broker does not answer.
        """
        request = schema.LoginRequest(folder=folder, pool=pool, labels=labels, slots=slots)
        return self._post(f"/logins/{_part(name)}", request, schema.LoginAnswer)

    def context(self) -> schema.ContextAnswer:
        """Where boss and datastore are. Refused with 503: the boss keeps no context."""
        return self._get("/context", schema.ContextAnswer)

    def set_datastore(self, address: str) -> schema.ContextAnswer:
        """Keep where the datastore's program runs, from the boss's next start on.

        Refused with 400: no host name or address; 409: a pool makes its machine.
        """
        return self._post("/context/datastore", schema.DatastoreRequest(address=address), schema.ContextAnswer)

    def drop_context(self) -> schema.ContextAnswer:
        """Forget what `set_datastore` has kept: the settings count again."""
        return self._post("/context/drop", schema.EmptyRequest(), schema.ContextAnswer)

    def remove_login(self, name: str) -> schema.LoginRemoved:
        """The broker refuses the login of this worker from now on.

        Refused with 400: no worker's name; 404: it has no login; 409: the boss starts this worker; 503: as `login`.
        """
        return self._post(f"/logins/{_part(name)}/remove", schema.EmptyRequest(), schema.LoginRemoved)

    def _worker(self, worker: str, verb: str, body: object) -> schema.ChangeAnswer:
        return self._post(f"/workers/{_part(worker)}/{verb}", body, schema.ChangeAnswer)

    def pause_batch(self, number: int, reason: str) -> schema.ChangeAnswer:
        """Let the queued tasks of the batch wait. Refused with 404: no such batch."""
        return self._post(f"/batches/{number}/pause", schema.ReasonRequest(reason=reason), schema.ChangeAnswer)

    def resume_batch(self, number: int) -> schema.ChangeAnswer:
        """End the pause of the batch. Refused as `pause_batch` is."""
        return self._post(f"/batches/{number}/resume", schema.EmptyRequest(), schema.ChangeAnswer)

    def submit(self, stream: Iterable[bytes], *, detach: bool = False) -> schema.SubmitAnswer:
        """The canonical stream of `boss.intake`, sent as it is made; returns once the push is in the database.

        Raises also what `stream` raises. Refused with 400 (details: a line for each problem), 409: clashes with what is
        there, 413: too large, 424: files have not been sent, 428: not confirmed, 503: the boss is stopping, 507: no
        space.
        """
        return self._send(
            "POST",
            "/batches",
            schema.SubmitAnswer,
            content=stream,
            params={"detach": 1} if detach else None,
            headers={"content-type": "application/x-ndjson"},
            timeout=_SUBMIT_TIMEOUT,
        )

    # --- files -----------------------------------------------------------------------------------------

    def missing(self, digests: list[str]) -> list[schema.MissingFile]:
        """Those of the digests (200,000 at most) that the boss lacks, with the bytes of each that it has.

        A digest is `b2:` and 64 hexadecimal digits (`boss.common.digests`). Refused with 400: one is none; 413: too
        many.
        """
        return self._post("/files/missing", schema.MissingRequest(digests=digests), schema.MissingAnswer).missing

    def send_file(self, digest: str, size: int, offset: int, content: Iterable[bytes]) -> schema.UploadAnswer:
        """Send the bytes of `content`, which begins at `offset`, of a file of `size` bytes; `complete`: it is there.

        Raises also what `content` raises. Refused with 400: damaged, or longer than `size`; 409: another client is
        sending it, or `offset` is not where the boss's part ends; 507: no space.
        """
        return self._send(
            "PUT",
            f"/files/{digest}",
            schema.UploadAnswer,
            content=content,
            params={"offset": offset, "size": size},
            headers={"content-type": "application/octet-stream"},
            timeout=_SUBMIT_TIMEOUT,
        )

    def results(self, project: str, match: str = "", batch: int = 0, task: str = "") -> Iterator[schema.ResultAnswer]:
        """All that match, page by page, in order of task; `match`: a name, a folder or a pattern (`wire.patterns`).

        Refused with 400: both batch and task; 404: unknown ones.
        """
        query = {"project": project, "match": match, "batch": batch, "task": task, "limit": _RESULTS_AT_ONCE}
        return (result for page in self._pages(schema.ResultList, "/results", **query) for result in page.results)

    def usage(self, project: str, folder: str = "") -> schema.UsageAnswer:
        """How many bytes results take, for each folder directly below `folder`; empty: below the project's root."""
        return self._get("/usage", schema.UsageAnswer, project=project, folder=folder)

    @contextmanager
    def content(self, result: schema.ResultAnswer, offset: int = 0) -> Iterator[schema.UploadAnswer | Iterator[bytes]]:
        """Its bytes from `offset` on; or how far it is on its way to the boss: ask again then.

        Blocks while it is read. Refused with 404: there is none; 409: its content is not kept; 416: `offset` lies
        behind its end; 503: the datastore is busy or away.
        """
        path = f"/results/{_part(result.project)}/{quote(result.name)}"
        headers = {"range": f"bytes={offset}-"} if offset else {}
        with self._stream("GET", path, params={"digest": result.digest}, headers=headers) as response:
            if response.status_code == 202:
                yield msgspec.json.decode(response.read(), type=schema.UploadAnswer)
            else:
                yield response.iter_raw()

    @contextmanager
    def bundle(self, results: list[schema.ResultAnswer]) -> Iterator[Iterator[bytes]]:
        """The pieces of a bundle (`boss.api.result_bundle`) of small results of one project, one at least, 500 at most.

        Blocks while it is read. Refused with 413: too many.
        """
        items = [schema.BundleItem(name=result.name, digest=result.digest) for result in results]
        body = msgspec.json.encode(schema.BundleRequest(project=results[0].project, results=items))
        with self._stream("POST", "/results/bundle", content=body, headers=_JSON) as response:
            yield response.iter_raw()

    # --- the wire --------------------------------------------------------------------------------------

    def _get(self, path: str, kind: type[T], **query: object) -> T:
        params = {name: str(value) for name, value in query.items() if value}
        return self._send("GET", path, kind, params=params)

    def _post(self, path: str, body: object, kind: type[T]) -> T:
        return self._send("POST", path, kind, content=msgspec.json.encode(body), headers=_JSON)

    def _send(self, method: str, path: str, kind: type[T], **options: Any) -> T:
        try:
            response = self._http.request(method, PREFIX + path, **options)
        except httpx.HTTPError as error:
            raise _no_answer(self.url, error) from None
        if response.status_code != 200:
            raise _refused(response)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError as error:
            raise NoAnswerError(f"{self.url} did not answer as a boss of this version does: {error}") from None

    @contextmanager
    def _stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """The answer while it comes. Raises RequestRefusedError, NoAnswerError."""
        try:
            with self._http.stream(method, PREFIX + path, **options) as response:
                if response.status_code not in _STREAMED:
                    response.read()
                    raise _refused(response)
                yield response
        except httpx.HTTPError as error:
            raise _no_answer(self.url, error) from None

    def _lines(self, kind: type[T], method: str, path: str, **options: Any) -> Iterator[T]:
        decoder = msgspec.json.Decoder(kind)
        with self._stream(method, path, **options) as response:
            for line in response.iter_lines():
                yield decoder.decode(line)

    def _pages(self, kind: type[Page], path: str, **query: object) -> Iterator[Page]:
        after: object = None
        while True:
            page = self._get(path, kind, **query, after=after)
            yield page
            if page.next is None:
                return
            after = page.next


def _part(text: str) -> str:
    """Of a path: as it is, where "." and ".." would be taken for folders."""
    return quote(text, safe="").replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def _refused(response: httpx.Response) -> RequestRefusedError:
    try:
        answer = msgspec.json.decode(response.content, type=schema.ErrorAnswer)
    except msgspec.DecodeError:
        answer = schema.ErrorAnswer(error=f"{response.url} answered with HTTP status {response.status_code}")
    return RequestRefusedError(response.status_code, answer)


def _no_answer(url: str, error: httpx.HTTPError) -> NoAnswerError:
    return NoAnswerError(f"the boss at {url} does not answer ({str(error) or type(error).__name__})")
