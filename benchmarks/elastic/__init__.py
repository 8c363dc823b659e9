"""A cloud in simulation, for `benchmarks/elasticity.py`: studies, policies, and what a policy makes of a study."""
