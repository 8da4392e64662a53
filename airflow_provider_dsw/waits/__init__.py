"""
What a wait means: pure functions of the service's answers, which know neither Airflow nor HTTP.

Every way to wait (poke, reschedule, deferred, from the trigger, as a watcher) calls
:func:`~airflow_provider_dsw.waits.conditions.evaluate`, so all of them mean the same.

To wait for something new:

1. Add a class to ``conditions.py`` and to its ``KINDS``. Its fields are the arguments that it takes; ``chosen_by`` says
   which of them mean it. ``evaluate`` sees the service's whole answer.
2. Declare each new argument in ``wait_arguments.py``, beside this folder: how ``validation.py`` checks it, and whether
   it is templated.
3. Add the argument, under the same name, to the signatures of ``DswInstanceSensor``, of the base of the triggers and,
   if it can be watched for, of ``DswInstanceEventTrigger``; say what it means in their docstrings.

That's it: attributes, templates, serialization, deferral and watching follow from the declaration, and
``tests/unit/test_wait_arguments.py`` fails if one of these is missing. A condition is watched by when it becomes true,
unless ``transitions.py`` knows better.
"""
