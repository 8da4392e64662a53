"""All cells of the matrix, or each so many-th of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice

from tests.system.faults import calls, options, tasks
from tests.system.faults.cells import Cell, Found
from tests.system.faults.service import Bed


class Report:
    """What came of the cells that were run."""

    def __init__(self) -> None:
        self.cells = 0
        self.outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.most_requests: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []

    def add(self, cell: Cell, found: Found) -> None:
        self.cells += 1
        self.outcomes[cell.mode][found.outcome] += 1
        named = (cell.mode, cell.subject)
        self.most_requests[named] = max(self.most_requests[named], found.requests)
        self.wrong += [f"{cell.name}: {found.outcome}: {what}" for what in found.wrong]

    def lines(self) -> Iterator[str]:
        for mode, outcomes in self.outcomes.items():
            yield f"{mode}: {outcomes.total()} cells"
            for outcome, number in outcomes.most_common():
                yield f"  {number:6} {outcome}"
        yield "Most requests of one run:"
        for (mode, subject), number in self.most_requests.most_common(5):
            yield f"  {number:6} {mode}, {subject}"
        yield f"{self.cells} cells, {len(self.wrong)} wrong"


def run(bed: Bed, every: int = 1) -> Report:
    """
    Run the cells.

    :param every: 2: each second one; a prime number leaves out nothing for good.
    """
    report = Report()
    for all_cells in (calls.cells(), tasks.cells(bed), options.cells()):
        for cell in islice(all_cells, None, None, every):
            report.add(cell, cell.runs(bed, cell))
    return report
