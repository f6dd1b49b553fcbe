"""City files and generators to scenarios.

::

    from twin_app.scenarios import ScenarioSpec, build_scenario
    scenario = build_scenario(ScenarioSpec())                                    # the generated city
    scenario = build_scenario(ScenarioSpec(city=(Path("map.osm.gz"),), seed=2))  # a real one

Everything about file formats and map libraries stays in here; the rest of the house sees
:class:`twin.scenario.Scenario` only.
"""

from twin_app.scenarios.build import build_scenario
from twin_app.scenarios.spec import ScenarioSpec
from twin_app.scenarios.store import load_scenario, save_scenario

__all__ = ["ScenarioSpec", "build_scenario", "load_scenario", "save_scenario"]
