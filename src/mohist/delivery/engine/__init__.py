"""Runs segments of deliveries to their end, on whatever worker is alive.

Must never decide what a delivery needs (the machine does) nor hold what is true of it (the book does): lose everything in
here, and the book starts its segments again. Steps are recorded, which is not the same as done once: a step that was cut off
runs again, so whatever it does outside has a key and is looked for before it is repeated (`StepRunner.effect`).
"""

from mohist.delivery.engine.contract import (
    Body,
    Ended,
    Engine,
    Json,
    Segments,
    SegmentState,
    SegmentStatus,
    StepRunner,
    segment_key,
)

__all__ = [
    "Body",
    "Ended",
    "Engine",
    "Json",
    "SegmentState",
    "SegmentStatus",
    "Segments",
    "StepRunner",
    "segment_key",
]
