"""The options of the methods, as forms and files know them."""

from __future__ import annotations

from typing import Any, Literal, get_origin

from lbc.sparsity.method_names import method_names
from lbc.sparsity.method_options import options_class
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule


def options() -> dict[str, dict[str, Any]]:
    """The fields of every option, by key and method."""
    found: dict[str, dict[str, Any]] = {}
    for name in method_names():
        for key, field in options_class(name).model_fields.items():
            if key != "name":
                found.setdefault(key, {})[name] = field
    return found


def test_an_option_is_the_same_in_all_methods_that_have_it() -> None:
    for key, methods in options().items():
        assert len({field.annotation for field in methods.values()}) == 1, key
        assert len({field.title for field in methods.values()}) == 1, key
        assert len({field.description for field in methods.values()}) == 1, key


def test_every_option_says_what_it_is_and_has_a_default() -> None:
    for key, methods in options().items():
        for name, field in methods.items():
            assert field.description and field.description.endswith("."), (name, key)
            assert not field.is_required(), (name, key)
            plain = field.annotation in (bool, int, float)
            assert plain or get_origin(field.annotation) is Literal, (name, key)


def test_every_method_says_what_it_does_before_it_is_trained() -> None:
    pattern, schedule = Pattern(2, 4), Schedule(start=1, end=4)
    for name in method_names():
        method = options_class(name)()
        for epoch in (0.0, 0.5, 1.0, 3.99, 4.0, 6.0):
            assert 1 <= method.live(schedule, pattern, epoch) <= pattern.count
            least, most = method.density(schedule, pattern, epoch)
            assert 0 < least <= most <= 1
            for course in method.courses(schedule, 6):
                assert course.label and isinstance(float(course.at(epoch)), float)
        assert 0 < method.decision(schedule, 6) <= 6
        if method.prunes:
            least, most = method.density(schedule, pattern, 6.0)
            assert least == most == 0.5 or (name == "elsa" and least < most == 0.5), name


def test_methods_that_treat_weights_singly_refuse_groups_in_a_clause() -> None:
    pairs, single = Pattern(4, 8, 2), Pattern(4, 8)
    refused = {}
    for name in method_names():
        options = options_class(name)()
        if options.layer_obstacle(single, ()):
            continue  # whatever the groups
        if why := options.layer_obstacle(pairs, ()):
            refused[name] = why
    assert set(refused) == {"bi-mask", "dsnot", "s-ste", "sdgf", "transposable"}
    assert all(why.endswith(", not groups of 2 weights") for why in refused.values())
    reordering = options_class("ria").model_validate({"permute": True})
    assert reordering.layer_obstacle(pairs, ()) and not reordering.layer_obstacle(single, ())
