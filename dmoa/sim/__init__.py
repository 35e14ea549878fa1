"""Virtual time: the SimPy driver of the nodes, and the world around them."""

from dmoa.sim.driver import Simulation
from dmoa.sim.world import World, build_world

__all__ = ["Simulation", "World", "build_world"]
