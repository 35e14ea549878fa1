"""The compiled engine: the simulator's model in one kernel, step for step the trace of SimPy's."""
