"""Imports a Python module that jsii made, where pip has none of the packages that it needs.

Stand-ins take the place of those packages. Everything in the module itself runs: all classes with their decorators and
annotations, and the defaults of all parameters. Nothing is called, so no Node.js starts.

usage: import-module.py MODULE; prints the public names
"""

import importlib
import importlib.metadata
import os
import sys
import types
import typing


def stand_in(name, **members):
    module = types.ModuleType(name)
    module.__path__ = []
    module.__dict__.update(members)
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)
    return module


def decorator(*_, **__):
    return lambda decorated: decorated


class Meta(type):
    def __new__(mcs, name, bases, members, jsii_type=None):
        return super().__new__(mcs, name, bases, members)

    def __init__(cls, name, bases, members, jsii_type=None):
        super().__init__(name, bases, members)


class Assembly:
    @staticmethod
    def load(name, version, module, archive):
        directory = os.path.dirname(sys.modules[module + "._jsii"].__file__)
        if not os.path.isfile(os.path.join(directory, archive)):
            raise FileNotFoundError(archive)


class Anything:
    """A class of another package."""


def class_of_package(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (Anything,), {})


jsii = stand_in(
    "jsii",
    JSIIMeta=Meta,
    JSIIAssembly=Assembly,
    Number=typing.Union[int, float],
    **{name: decorator for name in ("data_type", "enum", "implements", "interface", "member")},
)
stand_in("jsii.python", classproperty=property)
stand_in("publication", publish=lambda: None)
stand_in("typing_extensions", __getattr__=lambda name: getattr(typing, name))
stand_in("typeguard", check_type=None)
for framework in ("cdktf", "cdktn", "constructs"):
    stand_in(framework, __getattr__=class_of_package)
    stand_in(framework + "._jsii")
version = importlib.metadata.version
importlib.metadata.version = lambda name: "4.0.0" if name == "typeguard" else version(name)

module = importlib.import_module(sys.argv[1])
for name in sorted(module.__all__):
    getattr(module, name)
    print(name)
