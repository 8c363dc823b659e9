"""Options and arguments that several commands have, each with its help once."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="Print at most N; 0 is all.")]

#: Of tasks: the name space of the ids that are given, or a choice among all.
Project = Annotated[str, typer.Option("--project", help="Name space of the task ids.")]
AnyProject = Annotated[str, typer.Option("--project", help="Only tasks of this project.")]
OfBatch = Annotated[int, typer.Option("--batch", help="Only tasks of this batch.")]

TaskId = Annotated[str, typer.Argument(metavar="ID", help="The task's id.", show_default=False)]
TaskIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of tasks.", show_default=False)]
Batches = Annotated[list[int] | None, typer.Option("--batch", help="All tasks of this batch; may be repeated.")]
BatchNumber = Annotated[int, typer.Argument(metavar="BATCH", help="The batch's number.", show_default=False)]
WorkerId = Annotated[str, typer.Argument(metavar="WORKER", help="The worker's id.", show_default=False)]
WorkerIds = Annotated[list[str] | None, typer.Argument(metavar="WORKER", help="Ids of workers.", show_default=False)]
