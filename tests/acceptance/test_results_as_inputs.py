"""What one task leaves and the next one needs, through a whole ecloud on this machine."""

from __future__ import annotations

from tests.worlds.deployment import Deployment, deployment, lines_of

__all__ = ["deployment"]


def test_a_program_that_a_task_has_made_is_run_by_the_next_from_where_it_was_made(deployment: Deployment) -> None:
    log = deployment.directory / "log"
    script = "#!/bin/sh\\necho it runs on $1"
    tasks = [
        {
            "id": "make",
            "commands": f"printf '{script}\\n' > model; chmod +x model; echo 7 > data",
            "results": ["model"],
        },
        {"id": "run", "commands": f"./model a >> {log}; echo more >> model", "requirements": ["model"]},
        {"id": "again", "commands": f"./model b >> {log}", "requirements": ["model"], "dependencies": ["run"]},
    ]
    done = deployment.push(deployment.write("tasks.json", tasks))
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines_of(log) == ["it runs on a", "it runs on b"], (
        "a task that writes into its input changes nothing for others"
    )
    assert (deployment.tree / "model").read_text() == "#!/bin/sh\necho it runs on $1\n"
    cached = [path for path in deployment.home.glob("workers/*/cache/*") if path.is_file()]
    assert len(cached) == 1, "the result that others need, and nothing else"
    assert cached[0].read_text() == (deployment.tree / "model").read_text()
