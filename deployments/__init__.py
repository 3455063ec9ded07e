"""What runs where and when: model specs, the command, schedules and servers.

Where do I go to change ...?

    flights, <model> a model spec, and the model's own feature code
    command          the ``kingmaker`` command
    server           servers on this machine, compose file, Dockerfile
    console          the pages and the JSON that they serve of all models
    register.py      specs as Prefect deployments; automations.py: what the server does by itself
    notebook.py      a home as pandas frames
    launcher.py      how a worker begins a run
    names.py         names on Prefect's server; paging.py: its lists, page by page

This is the top layer: it may import everything, and nothing imports it.
"""
