"""Runs the purchase agent, traced, on a day when payments is down for a moment and shipping refuses; draws what a collector gets.

python scripts/trace_picture.py docs/images/trace.svg
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from perdure import PerdureClient, RunFailed
from perdure.testing import PerdureEnvironment
from purchase.graph import graph
from purchase.services.faults import Fault
from purchase.services.server import PurchaseServices

ORDER = {"sku": "lamp", "quantity": 2, "card": "tok_visa", "address": "Kai 1, Bremen", "customer": "ines"}
ROW, NAMES, BARS = 19, 300, 620
COLOURS = {"chat": "#7c5cd6", "execute_tool": "#2f8f6b", "effect": "#c07a1d", "undo": "#b5507f"}


async def spans() -> Sequence[ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with TemporaryDirectory() as folder:
        async with PurchaseServices(Path(folder) / "data", seed=1) as services:
            os.environ |= services.env
            services.faults.add(
                Fault("unavailable", "payments", "charge"),
                Fault("reject", "shipping", "ship", reason="closed"),
            )
            options = {"time_skipping": False, "replay_every_task": False, "tracer_provider": provider}
            async with PerdureEnvironment.start({"purchase": graph}, **options) as env:
                client = PerdureClient(env.client, task_queue=env.task_queue, tracer_provider=provider)
                run = await client.start("purchase", ORDER, thread_id="order-1")
                try:
                    await run.result()
                except RunFailed:
                    pass  # as it should
    return exporter.get_finished_spans()


def in_tree(found: Sequence[ReadableSpan]) -> Iterator[tuple[int, ReadableSpan]]:
    """Each span with its depth, children after their parent."""
    known = {span.context.span_id for span in found}
    ordered = sorted(found, key=lambda span: (span.start_time, -span.end_time))

    def below(parent: int | None, depth: int) -> Iterator[tuple[int, ReadableSpan]]:
        for span in ordered:
            above = span.parent.span_id if span.parent and span.parent.span_id in known else None
            if above == parent:
                yield depth, span
                yield from below(span.context.span_id, depth + 1)

    return below(None, 0)


def svg(found: Sequence[ReadableSpan]) -> str:
    start = min(span.start_time for span in found)
    scale = BARS / (max(span.end_time for span in found) - start)
    width, height = NAMES + BARS + 80, ROW * len(found) + 12
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
             'font-family="ui-monospace, monospace" font-size="11">',
             f'<rect width="{width}" height="{height}" fill="#fff"/>']  # fmt: skip
    for row, (depth, span) in enumerate(in_tree(found)):
        y = row * ROW + 6
        failed = span.status.status_code is StatusCode.ERROR
        colour = COLOURS.get(span.name.split(" ")[0], "#4a7fb5" if depth else "#333")
        left = NAMES + (span.start_time - start) * scale
        long = max(1.5, (span.end_time - span.start_time) * scale)
        took = f"{(span.end_time - span.start_time) / 1e6:,.0f} ms"
        if row % 2:
            lines.append(f'<rect y="{y - 3}" width="{width}" height="{ROW}" fill="#f5f6f8"/>')
        name = escape(span.name) + (" ✗" if failed else "")
        lines += [
            f'<text x="{8 + depth * 14}" y="{y + 11}" fill="{"#c0392b" if failed else "#222"}">{name}</text>',
            f'<rect x="{left:.1f}" y="{y + 1}" width="{long:.1f}" height="{ROW - 8}" rx="2" fill="{colour}"/>',
            f'<text x="{left + long + 5:.1f}" y="{y + 11}" fill="#666">{took}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(svg(asyncio.run(spans())))
