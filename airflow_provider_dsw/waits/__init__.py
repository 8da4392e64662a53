"""
What a wait means: pure functions of the service's answers, which know neither Airflow nor HTTP.

Every way to wait (poke, reschedule, deferred, from the trigger, as a watcher) calls
:func:`~airflow_provider_dsw.waits.conditions.evaluate`, so all of them mean the same.

A new kind of wait is a class in ``conditions.py``; ``.github/CONTRIBUTING.md`` has the recipe. It is watched by when it
becomes true, unless ``transitions.py`` knows better.
"""
