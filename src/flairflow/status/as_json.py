"""The state of a run for programs; docs/status.md explains the keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flairflow.status.grouping import grouped
from flairflow.status.run_state import Status


def to_json(status: Status) -> dict[str, Any]:
    """The state as plain values. Times are in seconds, None stands for what is not known."""
    cohort = status.cohort
    return {
        "results": str(status.results),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "finished": status.finished,
        "workflow_runs": status.workflow_runs,
        "scans": {"included": cohort.scans, "excluded": len(cohort.excluded)} if cohort else None,
        "stages": [
            {
                "stage": stage.stage,
                "unit": stage.unit,
                "done": stage.done,
                "failed": stage.failed,
                "to_go": stage.to_go,
                "running": stage.jobs["running"],
                "jobs": {activity.replace(" ", "_"): count for activity, count in stage.jobs.items()},
                "scans_per_hour": stage.scans_per_hour,
                "seconds_left": stage.seconds_left,
            }
            for stage in status.stages
        ],
        "trainings": [
            {
                "network": name,
                "update": training.update,
                "updates": training.updates,
                "loss": training.loss,
                "seconds_per_update": training.seconds_per_update,
                "seconds_left": training.seconds_left,
            }
            for name, training in status.trainings.items()
        ],
        "failed": [
            {"stage": stage, "reason": reason, "scans": scans}
            for stage, failures in status.failures.items()
            for reason, scans in grouped((failure.reason, failure.scan) for failure in failures)
        ],
        "excluded": [
            {"reason": reason, "scans": scans}
            for reason, scans in grouped((reason, scan) for scan, reason in (cohort.excluded if cohort else {}).items())
        ],
        "stopped": [
            {"stage": one.stage, "job": one.job, "message": one.message, "log": str(one.log)} for one in status.stopped
        ],
        "slurm": {
            "problem": status.queue.problem or None,
            "jobs": [
                {
                    "id": one.slurm.number,
                    "stage": one.stage,
                    "job": one.job,
                    "state": one.slurm.state,
                    "node": one.slurm.node or None,
                    "reason": one.slurm.reason if one.slurm.waits else None,
                }
                for one in status.queued
            ],
        }
        if status.queue
        else None,
    }
