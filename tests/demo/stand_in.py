"""A stand-in for gradio that remembers the components of a page and what its buttons do."""

import time
import types


class Component:
    """A component; those made inside of a `with` block are recorded all the same."""

    made: list = []

    def __init__(self, *args, **kwargs):
        self.args, self.kwargs, self.clicks = args, kwargs, []
        self.kind = type(self).__name__
        Component.made.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def click(self, function, inputs, outputs, **kwargs):
        outputs = outputs if isinstance(outputs, list) else [outputs]
        self.clicks.append((function, inputs, outputs, kwargs))

    @property
    def label(self):
        return self.kwargs.get("label", self.args[0] if self.args else "")

    @property
    def value(self):
        at = {"Slider": 2, "Number": 0, "Checkbox": 0}.get(self.kind, len(self.args))
        given = self.args[at] if at < len(self.args) else None
        return self.kwargs.get("value", given)


class Page(Component):
    """`Blocks`, with what serving needs."""

    def queue(self, **kwargs):
        self.queued = kwargs


class Server:
    """A server of uvicorn, which runs until it is told to end."""

    made: list = []

    def __init__(self, config):
        self.config, self.started, self.should_exit = config, False, False
        Server.made.append(self)

    def run(self):
        self.started = True
        while not self.should_exit:
            time.sleep(0.01)


def serving():
    """Stand-ins for fastapi and uvicorn, and the list of servers that are made."""
    Server.made = []
    uvicorn = types.SimpleNamespace(Server=Server, Config=lambda app, **kwargs: (app, kwargs))
    fastapi = types.SimpleNamespace(FastAPI=lambda **kwargs: kwargs)
    return {"fastapi": fastapi, "uvicorn": uvicorn}, Server.made


def gradio():
    """A module with the components that the page has, and the list of those that are made."""
    Component.made = []
    names = ("Tab", "Row", "Column", "HTML", "Number", "Slider", "Dropdown", "Checkbox", "Button")
    names += ("File", "Sketchpad", "State", "Brush")
    module = types.ModuleType("gradio")
    for name in names:
        setattr(module, name, type(name, (Component,), {}))
    module.Blocks = type("Blocks", (Page,), {})
    module.mount_gradio_app = lambda app, page, **kwargs: {"page": page, **app, **kwargs}
    module.themes = types.SimpleNamespace(Default=lambda **kwargs: kwargs)
    return module, Component.made
