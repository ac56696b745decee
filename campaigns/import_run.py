"""One run over a file: blocks are judged by other processes, compared and stored by this one."""

from __future__ import annotations

import asyncio
import csv
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar
from uuid import UUID

import numpy as np

from campaigns import import_workers
from campaigns.csv_blocks import Block, BlockReader
from campaigns.errors import UserError
from campaigns.import_report import ImportPlan, ImportReport, Meter, Policy
from campaigns.import_rows import JudgedBlock, Reading, judge_block
from campaigns.lead_numbers import Reject
from campaigns.model import new_id
from campaigns.seen_numbers import SeenNumbers
from campaigns.stores import imports
from campaigns.stores.imports import Duplicates, ImportRow, StoredBlock, Totals

if TYPE_CHECKING:
    from campaigns.stores.campaigns import CampaignRow
    from campaigns.stores.database import Connection

T = TypeVar("T")

Refusal = tuple[int, str, Sequence[str]]


@dataclass(slots=True)
class Run:
    """A run that stores (`carry_out`, of the import *begun*) or does not (`try_out`).

    *target* is the list that rows join, None for a new one.
    """

    connection: Connection
    plan: ImportPlan
    campaign: CampaignRow
    policy: Policy
    target: UUID | None
    _seen: SeenNumbers = field(default_factory=SeenNumbers)
    _compares: bool = False

    async def carry_out(self, begun: ImportRow, draft: Path, meter: Meter) -> ImportReport:
        """Store what is not stored yet, make the leads the campaign's, and write the rejects."""
        before = await imports.totals(self.connection, begun.id)
        meter.rows = meter.rows_before = before.rows
        try:
            await self._prepare(begun.list_id if before.blocks else None)
            async for block, judged in self._judged(begun.list_id, begun.id, before.blocks, meter):
                stored = await self._compared(block, judged)
                await imports.store(self.connection, begun.id, stored)
                meter.rows += judged.rows
                meter.report("reading")
            meter.report("checking")
            async with self.connection.transaction():
                with _Rejects(draft, self.plan) as rejects:
                    async for refusal in imports.refused(self.connection, begun.id):
                        rejects.add((refusal,))
                meter.report("writing")
                report = await self._finish(begun)
        except UserError:
            await imports.discard(self.connection, begun)
            raise
        await imports.refresh_statistics(self.connection, report.accepted)
        return replace(report, resumed_at=before.rows)

    async def try_out(self, draft: Path, meter: Meter) -> ImportReport:
        """Do all of it but the storing."""
        nobody = new_id()
        blocks = rows = accepted = in_file = elsewhere = listed = 0
        reasons, regions = Counter[str](), Counter[str]()
        await self._prepare(None)
        with _Rejects(draft, self.plan) as rejects:
            async for block, judged in self._judged(nobody, nobody, 0, meter):
                found = await self._compared(block, judged)
                listed += await self._listed(judged, {line for line, *_ in found.refused})
                rejects.add(found.refused)
                blocks, rows, accepted = blocks + 1, rows + found.rows, accepted + len(found.leads)
                in_file += found.duplicates_in_file
                elsewhere += found.duplicates_elsewhere
                reasons.update(found.reasons)
                regions.update(found.regions)
                meter.rows += judged.rows
                meter.report("reading")
        counted = Totals(
            blocks, rows, accepted, in_file, elsewhere,
            dict(reasons.most_common()), dict(regions.most_common()),
        )  # fmt: skip
        return self._report(counted, suppressed=listed, dry_run=True)

    async def _prepare(self, stored_on: UUID | None) -> None:
        """Find out what there is to compare with; *stored_on* is the list of an earlier run."""
        self._compares = self.policy.duplicates is not Duplicates.KEEP and (
            await imports.anything_known(
                self.connection,
                within=self.policy.within,
                campaign_id=self.campaign.id,
                list_id=self.target,
            )
        )
        if stored_on is not None:
            async with self.connection.transaction():
                async for batch in imports.stored_numbers(self.connection, stored_on):
                    numbers = np.array([number for number, _ in batch], dtype=np.int64)
                    lines = np.array([line for _, line in batch], dtype=np.int32)
                    self._seen.meet(numbers, lines)

    # Reading and judging ------------------------------------------------------------------------

    async def _judged(
        self, list_id: UUID, import_id: UUID, skip: int, meter: Meter
    ) -> AsyncIterator[tuple[Block, JudgedBlock]]:
        """Yield the blocks after the first *skip*, judged, in order; a few are in work at once."""
        table = self.plan.table
        reading = Reading(
            table.path.name, table.delimiter, table.skips_spaces, table.header,
            self.plan.columns, self.plan.country,
        )  # fmt: skip
        updates = self.policy.duplicates is Duplicates.UPDATE
        loop = asyncio.get_running_loop()
        executor = import_workers.executor_for(table.size_bytes)
        ahead = import_workers.count_for(table.size_bytes) + 1
        in_work: deque[tuple[Block, asyncio.Future[JudgedBlock]]] = deque()
        try:
            with BlockReader(table) as reader:
                while True:
                    while len(in_work) < ahead:
                        block = await asyncio.to_thread(_next_block, reader)
                        if block is None:
                            break
                        if block.number < skip:
                            meter.bytes_read = meter.bytes_before = block.bytes_read
                            continue
                        judging = loop.run_in_executor(
                            executor, _judge, block, reading, list_id, import_id, updates
                        )
                        in_work.append((block, judging))
                    if not in_work:
                        return
                    block, judging = in_work.popleft()
                    judged = await judging
                    meter.bytes_read = block.bytes_read
                    yield block, judged
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    # Comparing ----------------------------------------------------------------------------------

    async def _compared(self, block: Block, judged: JudgedBlock) -> StoredBlock:
        """Tell repeated rows apart; the others are leads."""
        reasons = Counter(refused.reason for refused in judged.refused)
        refused: list[Refusal] = [
            (refused.line, refused.reason, refused.cells) for refused in judged.refused
        ]
        earlier, known = await self._repeats(judged)
        changes: list[tuple[UUID | int, int]] = [
            *[(int(earlier[place]), int(place)) for place in np.flatnonzero(earlier)],
            *[(lead, place) for place, lead in known.items() if not earlier[place]],
        ]
        taken_out = {place for _, place in changes}
        updates = self.policy.duplicates is Duplicates.UPDATE
        if changes and not updates:
            cells = self._cells(block, {judged.lines[place] for place in taken_out})
            for which, place in changes:
                reason = (
                    str(_ELSEWHERE[self.policy.within])
                    if isinstance(which, UUID)
                    else f"{Reject.DUPLICATE_IN_FILE} ({which})"
                )
                line = judged.lines[place]
                refused.append((line, reason, cells[line]))
        kept = [place for place in range(len(judged.leads)) if place not in taken_out]
        in_file = int(np.count_nonzero(earlier))
        return StoredBlock(
            number=judged.number,
            rows=judged.rows,
            subjects=_chosen(judged.subjects, kept),
            shares_subjects=self.plan.columns.person is not None,
            leads=_chosen(judged.leads, kept),
            numbers=_chosen(judged.numbers, kept),
            regions=Counter(_chosen(judged.regions, kept)),
            reasons=reasons,
            duplicates_in_file=in_file,
            duplicates_elsewhere=len(taken_out) - in_file,
            refused=sorted(refused, key=lambda refusal: refusal[0]),
            consents=judged.consents,
            changes=[(which, judged.candidates[place]) for which, place in changes]
            if updates
            else [],
        )

    def _cells(self, block: Block, lines: set[int]) -> dict[int, tuple[str, ...]]:
        """Return what some lines of a block say: cutting again is cheaper than sending all."""
        table = self.plan.table
        records = block.cut(table.delimiter, skips_spaces=table.skips_spaces, name=table.path.name)
        return {record.line: record.cells for record in records if record.line in lines}

    async def _repeats(self, judged: JudgedBlock) -> tuple[np.ndarray, dict[int, UUID]]:
        """Return for each row the earlier line with its number or 0, and which leads others are."""
        numbers = np.array(judged.first, dtype=np.int64)
        if self.policy.duplicates is Duplicates.KEEP:
            return np.zeros(len(numbers), dtype=np.int32), {}
        earlier = self._seen.meet(numbers, np.array(judged.lines, dtype=np.int32))
        if not self._compares:
            return earlier, {}
        texts = [f"+{number}" for number in judged.first]
        found = await imports.known(
            self.connection,
            texts,
            within=self.policy.within,
            campaign_id=self.campaign.id,
            list_id=self.target,
        )
        return earlier, {place: found[text] for place, text in enumerate(texts) if text in found}

    async def _listed(self, judged: JudgedBlock, refused: set[int]) -> int:
        """Return how many of a block's leads are on the do-not-call list."""
        numbers = [(place, f"+{number}") for place, number in enumerate(judged.first)]
        numbers += judged.others
        found = await imports.suppressed(
            self.connection, [number for _, number in numbers], self.campaign.seller
        )
        places = {place for place, number in numbers if number in found}
        return sum(judged.lines[place] not in refused for place in places)

    # The end ------------------------------------------------------------------------------------

    async def _finish(self, begun: ImportRow) -> ImportReport:
        """Make the leads the campaign's, in the caller's transaction."""
        totals = await imports.totals(self.connection, begun.id)
        list_id, listed, updated = await imports.finish(
            self.connection, begun, seller=self.campaign.seller, accepted=totals.accepted
        )
        report = replace(
            self._report(totals, suppressed=listed),
            import_id=begun.id,
            list_id=list_id,
            list_name=begun.list_name if list_id is not None else None,
            updated=updated,
        )
        await imports.close(self.connection, begun.id, report.as_json())
        return report

    def _report(self, totals: Totals, *, suppressed: int, dry_run: bool = False) -> ImportReport:
        table = self.plan.table
        return ImportReport(
            file=table.path.name,
            campaign=self.campaign.name,
            dry_run=dry_run,
            encoding=table.encoding_name,
            delimiter=table.delimiter_name,
            has_header=table.has_header,
            country=self.plan.country,
            columns=self.plan.uses,
            rows_read=totals.rows,
            accepted=totals.accepted,
            duplicates_in_file=totals.duplicates_in_file,
            duplicates_in_campaign=totals.duplicates_elsewhere,
            suppressed=suppressed,
            reasons=totals.reasons,
            regions=totals.regions,
            outside_regions=sum(
                rows
                for region, rows in totals.regions.items()
                if region not in self.campaign.regions
            ),
            sha256=table.sha256,
            duplicates_policy=str(self.policy.duplicates),
            within=str(self.policy.within),
        )


class _Rejects:
    """The rejects file being written: line, reason and the original cells."""

    def __init__(self, path: Path, plan: ImportPlan) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(("line", "reason", *plan.table.header))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, refused: Iterable[Refusal]) -> None:
        self._writer.writerows((line, reason, *cells) for line, reason, cells in refused)


_ELSEWHERE = {
    imports.Within.FILE: Reject.DUPLICATE_IN_FILE,
    imports.Within.LIST: Reject.DUPLICATE_IN_LIST,
    imports.Within.CAMPAIGN: Reject.DUPLICATE_IN_CAMPAIGN,
    imports.Within.EVERYWHERE: Reject.DUPLICATE_EVERYWHERE,
}


def _chosen(rows: Sequence[T], kept: Sequence[int]) -> Sequence[T]:
    return rows if len(kept) == len(rows) else [rows[place] for place in kept]


def _next_block(reader: BlockReader) -> Block | None:
    return next(reader, None)


def _judge(
    block: Block,
    reading: Reading,
    list_id: UUID,
    import_id: UUID,
    updates: bool,  # noqa: FBT001 - an executor passes by place
) -> JudgedBlock:
    return judge_block(
        block, reading, list_id=list_id, import_id=import_id, keeps_candidates=updates
    )
