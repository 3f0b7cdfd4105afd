"""Everything on record about some networks, wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from atlpa.errors import UserError, one_line
from atlpa.records import (
    Analysis,
    Bound,
    Credibility,
    Distances,
    Evaluation,
    Record,
    Training,
    folders_below,
    read,
)
from atlpa.records.log import Line, read_log


@dataclass(frozen=True)
class Results:
    """Records by kind, and the file of each.

    Fields:
        evaluations: of networks under attack, on one data set, one for each network, threat and ε.
        checks: of their credibility.
        bounds: certified of them.
        analyses: of why they stand or fall.
        distances: of how far images are from others that fool them.
        trainings: of how they were made.
        files: record as text (its ``repr``) → its file.
        logs: the lines of training logs, by the run's name.
        problems: what could not be read, one line each.
    """

    evaluations: Sequence[Evaluation]
    checks: Sequence[Credibility] = ()
    bounds: Sequence[Bound] = ()
    analyses: Sequence[Analysis] = ()
    trainings: Sequence[Training] = ()
    distances: Sequence[Distances] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    logs: Mapping[str, Sequence[Line]] = field(default_factory=dict)
    problems: Sequence[str] = ()

    @classmethod
    def of(cls, records: Mapping[Path, Record], problems: Sequence[str] = ()) -> Results:
        """Records of any kind by their files; training logs are looked for beside the trainings' records.

        Args:
            records: file → record.
            problems: what could not be read, a line each.
        """
        found, problems = list(records.values()), list(problems)
        logs = {}
        for path in [path for path, record in records.items() if isinstance(record, Training)]:
            log = (path if len(path.parents) > 2 else path.absolute()).parents[1] / "log.jsonl"
            try:
                name = one_line(log.parent.name)
                name = one_line(f"{log.parents[1].name}/{name}") if name in logs else name
                logs[name] = read_log(log) if os.path.lexists(log) else []
            except UserError as error:
                problems.append(_left_out(error))
        return cls(
            evaluations=[record for record in found if isinstance(record, Evaluation)],
            checks=[record for record in found if isinstance(record, Credibility)],
            bounds=[record for record in found if isinstance(record, Bound)],
            analyses=[record for record in found if isinstance(record, Analysis)],
            trainings=[record for record in found if isinstance(record, Training)],
            distances=[record for record in found if isinstance(record, Distances)],
            files={repr(record): path for path, record in records.items()},
            logs=logs,
            problems=problems,
        )

    @property
    def measurements(self) -> list[Evaluation | Credibility | Bound | Analysis | Distances]:
        """All that was measured on networks; never none."""
        return [*self.evaluations, *self.checks, *self.bounds, *self.analyses, *self.distances]

    @property
    def records(self) -> list[Record]:
        """All of them."""
        return [*self.measurements, *self.trainings]

    def file(self, record: Record) -> Path | None:
        """Where a record lies, if that is known."""
        return self.files.get(repr(record))


def collect(places: Iterable[Path]) -> Results:
    """Every record in files and folders at any depth; what cannot be read is named and left out.

    Raises:
        UserError: there is no evaluation, no analysis, no bound and no distances.
    """
    places = list(places)
    problems: list[str] = []
    files = [file for place in places for file in (_json_files(place, problems) if place.is_dir() else [place])]
    results = read_results(files, problems)
    if not (results.evaluations or results.analyses or results.bounds or results.distances):
        where = ", ".join(map(str, places))
        raise UserError(
            "; ".join([*results.problems[:1], f"no evaluation record in {where}; atlpa-eval and atlpa-study make them"])
        )
    return results


def read_results(files: Iterable[Path], problems: Sequence[str] = ()) -> Results:
    """The records in some files; what cannot be read is named and left out.

    Args:
        files: of records.
        problems: what could not be read before, a line each.
    """
    found: dict[Path, Record] = {}
    left_out = list(problems)
    for file in files:
        try:
            found[file] = read(file)
        except UserError as error:
            left_out.append(_left_out(error))
    if bad := len(left_out) - len(problems):
        left_out.append(f"{bad} of {bad + len(found)} records could not be read")
    return Results.of(found, left_out)


def _json_files(folder: Path, problems: list[str]) -> list[Path]:
    """What may be records, at any depth; folders that cannot be read are named."""
    inside = folders_below(folder, lambda problem: problems.append(_left_out(problem)))
    return sorted(
        place / name for place, names in inside for name in names if name.endswith(".json") and name != "split.json"
    )


def _left_out(problem: object) -> str:
    return one_line(f"left out: {problem}")
