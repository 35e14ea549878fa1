"""Scenarios at random that the compiled engine covers, small and short."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

CV = st.sampled_from([0.3, 1.0, 2.5])


def spread(draw: st.DrawFn, **mean: Any) -> dict[str, Any]:
    """Draw a distribution with this mean."""
    name = draw(st.sampled_from(["deterministic", "exponential", "lognormal", "gamma"]))
    cv = {"cv": draw(CV)} if name in {"lognormal", "gamma"} else {}
    return {"distribution": name, **mean, **cv}


@st.composite
def overlays(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an overlay."""
    name = draw(
        st.sampled_from(["ring", "star", "complete", "path", "random-regular", "barabasi-albert"])
    )
    seed = (
        {"seed": draw(st.integers(1, 9))} if name in {"random-regular", "barabasi-albert"} else {}
    )
    return {"topology": name, "nodes": draw(st.sampled_from([4, 6, 12, 40])), **seed}


@st.composite
def sources(draw: st.DrawFn) -> dict[str, Any]:
    """Draw how prompts arrive."""
    process = draw(st.sampled_from(["poisson", "poisson", "deterministic", "on-off", "burst"]))
    more: dict[str, Any] = {}
    if process == "on-off":
        more = {
            "on_s": draw(st.sampled_from([1.0, 7.5])),
            "off_s": draw(st.sampled_from([2.0, 30.0])),
        }
    elif process == "burst":
        more = {"prompts": draw(st.integers(1, 60))}
    return {"process": process, "arrival_rate_hz": draw(st.sampled_from([0.05, 0.2, 0.6])), **more}


@st.composite
def services(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what services take."""
    name = draw(st.sampled_from(["any", "any", "any", "empirical", "tokens"]))
    if name == "any":
        return spread(draw, service_time_s=draw(st.sampled_from([0.3, 1.0])))
    if name == "empirical":
        return {"distribution": "empirical", "values": [0.2, 0.5, 0.5, 3.0]}
    return {
        "distribution": "tokens",
        "base_s": draw(st.sampled_from([0.0, 0.1])),
        "input_token_s": draw(st.sampled_from([0.0, 0.001])),
        "output_token_s": draw(st.sampled_from([0.0, 0.004])),
    }


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the sections of a scenario; a few of them contradict each other."""
    plan: dict[str, Any] = {"layers": draw(st.integers(0, 3)), "proposers": draw(st.integers(0, 3))}
    if plan["layers"] and plan["proposers"] and draw(st.integers(0, 3)) == 0:
        plan |= {"selection": "weighted", "weights": "best"}
    if draw(st.booleans()):
        plan["instruction_tokens"] = draw(st.integers(0, 200))
    slots = draw(st.sampled_from([1, 1, 2, 3]))
    station: dict[str, Any] = {"slots": slots}
    if draw(st.integers(0, 2)) == 0:
        station["queue_max"] = draw(st.sampled_from([12, 20]))
    if draw(st.integers(0, 3)) == 0:
        station["speedup"] = [1.0, 1.4, 1.5][:slots]
    nodes: dict[str, Any] = {}
    if draw(st.booleans()):
        nodes = {
            "0": {"speed": 2.5, "slots": slots},
            "1": {"arrival_rate_hz": draw(st.sampled_from([0.0, 0.4]))},
            "3": {"queue_max": 16},
        }
    links = spread(draw, delay_s=draw(st.sampled_from([0.0, 0.0, 0.25])))
    run: dict[str, Any] = {
        "horizon_s": draw(st.sampled_from([3.0, 40.0, 200.0])),
        "replications": 2,
        "seed": draw(st.integers(0, 1000)),
    }
    if draw(st.integers(0, 5)) == 0:
        run["queue_length_max"] = 15
    arrivals = draw(sources())
    if arrivals["process"] == "burst":
        nodes.pop("1", None)
    return {
        "overlay": draw(overlays()),
        "plan": plan,
        "arrivals": arrivals,
        "tokens": spread(draw, prompt_tokens=100.0, response_tokens=150.0),
        "service": draw(services()),
        "station": station,
        "links": links,
        "nodes": nodes,
        "run": run,
    }
