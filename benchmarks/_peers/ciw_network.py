"""Ciw: M/M/1 nodes side by side; it has no fork whose parts join again."""

from __future__ import annotations

import time

import ciw
from _peers.network import Network, Run


def run(network: Network, horizon_s: float, seed: int) -> Run:
    """Simulate from an empty network to the horizon."""
    nodes = network.nodes
    ciw.seed(seed)
    simulation = ciw.Simulation(
        ciw.create_network(
            arrival_distributions=[ciw.dists.Exponential(network.arrival_rate_hz)] * nodes,
            service_distributions=[ciw.dists.Exponential(1.0)] * nodes,
            number_of_servers=[1] * nodes,
            routing=ciw.routing.NetworkRouting([ciw.routing.Leave() for _ in range(nodes)]),
        )
    )
    began = time.process_time()
    simulation.simulate_until_max_time(horizon_s)
    seconds = time.process_time() - began
    records = simulation.get_all_records(include_incomplete=True)
    waited_s = sum(
        horizon_s - record.arrival_date if record.waiting_time is None else record.waiting_time
        for record in records
    )
    ends = sum(record.record_type == "service" for record in records)
    return Run(len(records) + ends, seconds, waited_s / horizon_s / nodes)
