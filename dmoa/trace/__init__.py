"""What a run wrote down, and every number read from it: codec, measures, statistics, replay."""

from dmoa.trace.codec import Entry, Header, TraceWriter, export_jsonl, read_trace
from dmoa.trace.little import little
from dmoa.trace.meter import (
    ANSWERED,
    CANCELLED,
    FAILED,
    REFUSED,
    SERVED,
    UNFINISHED,
    Links,
    Meter,
    Prompts,
    Steps,
    Tasks,
    Track,
)
from dmoa.trace.metrics import (
    Measures,
    layer_times_s,
    link_delay_s,
    measure,
    prompt_waiting_time_s,
    series,
    service_time_s,
    sojourn_time_s,
    waiting_time_s,
)
from dmoa.trace.reference import queue_ref, replay_calls
from dmoa.trace.replay import Difference, ReplayReport, replay
from dmoa.trace.statistics import BatchMeans, Estimate, Truncation, batch_means, estimate, mser5
from dmoa.trace.verdict import Verdict, growth_exponent, verdict

__all__ = [
    "ANSWERED",
    "CANCELLED",
    "FAILED",
    "REFUSED",
    "SERVED",
    "UNFINISHED",
    "BatchMeans",
    "Difference",
    "Entry",
    "Estimate",
    "Header",
    "Links",
    "Measures",
    "Meter",
    "Prompts",
    "ReplayReport",
    "Steps",
    "Tasks",
    "TraceWriter",
    "Track",
    "Truncation",
    "Verdict",
    "batch_means",
    "estimate",
    "export_jsonl",
    "growth_exponent",
    "layer_times_s",
    "link_delay_s",
    "little",
    "measure",
    "mser5",
    "prompt_waiting_time_s",
    "queue_ref",
    "read_trace",
    "replay",
    "replay_calls",
    "series",
    "service_time_s",
    "sojourn_time_s",
    "verdict",
    "waiting_time_s",
]
