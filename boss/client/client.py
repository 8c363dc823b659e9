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
    def __init__(self, status: int, answer: schema.ErrorAnswer) -> None:
        super().__init__(answer.error)
        self.status = status
        self.details = answer.details


class NoAnswerError(ClientError):
    """No answer."""


class BossLostError(ClientError):
    """The boss ended before the batch did."""


class Client:
    """One boss, or the application in this process (then `transport` drives it)."""

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
        self._http.close()

    def another(self) -> Client:
        """For another thread: the same boss."""
        return Client(self.url, self._token, self._transport)

    # --- reading ---------------------------------------------------------------------------------------

    def status(self) -> schema.StatusAnswer:
        return self._get("/status", schema.StatusAnswer)

    def batches(self) -> list[schema.BatchAnswer]:
        return self._get("/batches", schema.BatchList).batches

    def batch(self, number: int, wait: float = 0.0) -> schema.BatchAnswer:
        return self._get(f"/batches/{number}", schema.BatchAnswer, wait=wait)

    def workers(self) -> list[schema.WorkerAnswer]:
        return self.worker_list().workers

    def worker_list(self) -> schema.WorkerList:
        """And instances that have no worker at present."""
        return self._get("/workers", schema.WorkerList)

    def pools(self) -> list[schema.PoolAnswer]:
        return self._get("/pools", schema.PoolList).pools

    def instances(self, pool: str = "") -> list[schema.InstanceAnswer]:
        return self._get("/instances", schema.InstanceList, pool=pool).instances

    def tasks(self, *states: str, batch: int = 0, project: str = "", limit: int = 0) -> Iterator[schema.TaskAnswer]:
        """All that match, page by page; `limit` 0 is all."""
        pages = self._pages(schema.TaskList, "/tasks", state=",".join(states), batch=batch, project=project)
        return islice((task for page in pages for task in page.tasks), limit or None)

    def task(self, project: str, id: str) -> schema.TaskDetail:
        return self._get(f"/tasks/by_id/{_part(project)}/{_part(id)}", schema.TaskDetail)

    def task_commands(self, number: int) -> list[schema.DerivedCommand]:
        return self._get(f"/tasks/{number}/commands", schema.CommandsAnswer).commands

    def story(self, number: int) -> schema.StoryAnswer:
        return self._get(f"/tasks/{number}/story", schema.StoryAnswer)

    def last_events(self, count: int, task: int = 0) -> schema.EventsAnswer:
        return self._get("/events", schema.EventsAnswer, last=count, task=task)

    def events(self, after: int = 0, since: float = 0.0, task: int = 0) -> schema.EventsAnswer:
        """One page; `next` of it is the `after` of the next one."""
        return self._get("/events", schema.EventsAnswer, after=after, since=since, task=task)

    def follow(self, batch: int) -> Iterator[schema.BatchAnswer]:
        """The batch whenever it has changed, until it is finished; meanwhile the boss counts a follower."""
        return self._lines(schema.BatchAnswer, "GET", f"/batches/{batch}/follow", timeout=_FOLLOW_TIMEOUT)

    # --- changing --------------------------------------------------------------------------------------

    def cancel(self, selection: schema.SelectionRequest) -> schema.ChangeAnswer:
        return self._post("/cancel", selection, schema.ChangeAnswer)

    def retry(self, selection: schema.SelectionRequest) -> schema.ChangeAnswer:
        return self._post("/retry", selection, schema.ChangeAnswer)

    def redo(self, selection: schema.SelectionRequest) -> schema.ChangeAnswer:
        return self._post("/redo", selection, schema.ChangeAnswer)

    def drop_tasks(self, request: schema.DropTasksRequest) -> schema.ChangeAnswer:
        return self._post("/tasks/drop", request, schema.ChangeAnswer)

    def quarantine(self, worker: str, reason: str) -> schema.ChangeAnswer:
        return self._worker(worker, "quarantine", schema.ReasonRequest(reason=reason))

    def release(self, worker: str) -> schema.ChangeAnswer:
        return self._worker(worker, "release", schema.EmptyRequest())

    def drain(self, worker: str) -> schema.ChangeAnswer:
        return self._worker(worker, "drain", schema.EmptyRequest())

    def resume(self, worker: str) -> schema.ChangeAnswer:
        return self._worker(worker, "resume", schema.EmptyRequest())

    def debug(self, worker: str) -> Iterator[schema.DebugLine]:
        """Checks of a worker's host, a line each as results come."""
        path = f"/workers/{_part(worker)}/debug"
        return self._lines(schema.DebugLine, "POST", path, content=b"{}", headers=_JSON, timeout=_DEBUG_TIMEOUT)

    def start_workers(self, count: int, pool: str, keep_alive: bool) -> schema.StartedAnswer:
        request = schema.StartRequest(count=count, pool=pool, keep_alive=keep_alive)
        return self._post("/workers/start", request, schema.StartedAnswer)

    def terminate_workers(self, request: schema.TerminateRequest) -> schema.TerminatedAnswer:
        return self._post("/workers/terminate", request, schema.TerminatedAnswer)

    def drop_workers(self, request: schema.DropRequest) -> schema.DroppedAnswer:
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
        request = schema.LoginRequest(folder=folder, pool=pool, labels=labels, slots=slots)
        return self._post(f"/logins/{_part(name)}", request, schema.LoginAnswer)

    def context(self) -> schema.ContextAnswer:
        return self._get("/context", schema.ContextAnswer)

    def set_datastore(self, address: str) -> schema.ContextAnswer:
        return self._post("/context/datastore", schema.DatastoreRequest(address=address), schema.ContextAnswer)

    def drop_context(self) -> schema.ContextAnswer:
        return self._post("/context/drop", schema.EmptyRequest(), schema.ContextAnswer)

    def remove_login(self, name: str) -> schema.LoginRemoved:
        return self._post(f"/logins/{_part(name)}/remove", schema.EmptyRequest(), schema.LoginRemoved)

    def _worker(self, worker: str, verb: str, body: object) -> schema.ChangeAnswer:
        return self._post(f"/workers/{_part(worker)}/{verb}", body, schema.ChangeAnswer)

    def pause_batch(self, number: int, reason: str) -> schema.ChangeAnswer:
        return self._post(f"/batches/{number}/pause", schema.ReasonRequest(reason=reason), schema.ChangeAnswer)

    def resume_batch(self, number: int) -> schema.ChangeAnswer:
        return self._post(f"/batches/{number}/resume", schema.EmptyRequest(), schema.ChangeAnswer)

    def submit(self, stream: Iterable[bytes], *, detach: bool = False) -> schema.SubmitAnswer:
        """The canonical stream of `boss.intake`, sent as it is made."""
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
        return self._post("/files/missing", schema.MissingRequest(digests=digests), schema.MissingAnswer).missing

    def send_file(self, digest: str, size: int, offset: int, content: Iterable[bytes]) -> schema.UploadAnswer:
        """`content` begins at `offset`."""
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
        """All that match, page by page, in order of task."""
        query = {"project": project, "match": match, "batch": batch, "task": task, "limit": _RESULTS_AT_ONCE}
        return (result for page in self._pages(schema.ResultList, "/results", **query) for result in page.results)

    def usage(self, project: str, folder: str = "") -> schema.UsageAnswer:
        return self._get("/usage", schema.UsageAnswer, project=project, folder=folder)

    @contextmanager
    def content(self, result: schema.ResultAnswer, offset: int = 0) -> Iterator[schema.UploadAnswer | Iterator[bytes]]:
        """Its bytes from `offset` on; or how far it is on its way to the boss: ask again then."""
        path = f"/results/{_part(result.project)}/{quote(result.name)}"
        headers = {"range": f"bytes={offset}-"} if offset else {}
        with self._stream("GET", path, params={"digest": result.digest}, headers=headers) as response:
            if response.status_code == 202:
                yield msgspec.json.decode(response.read(), type=schema.UploadAnswer)
            else:
                yield response.iter_raw()

    @contextmanager
    def bundle(self, results: list[schema.ResultAnswer]) -> Iterator[Iterator[bytes]]:
        """The pieces of a bundle (`boss.api.result_bundle`) of small results of one project."""
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
