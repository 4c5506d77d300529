"""A choice of the user that holds for everything that is drawn inside a block, such as the printed page."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Setting(Generic[T]):
    """A setting with the value `usual` where no block sets it; `keyword` is the one of plot functions."""

    def __init__(self, keyword: str, usual: T):
        self._keyword, self._type = keyword, type(usual)
        self._value: ContextVar[T] = ContextVar(keyword, default=usual)

    def current(self) -> T:
        """Return the value of the innermost block."""
        return self._value.get()

    @contextmanager
    def set_to(self, value: T | None) -> Iterator[None]:
        """Let a value hold inside the block; None changes nothing."""
        token = self._value.set(self.current() if value is None else value)
        try:
            yield
        finally:
            self._value.reset(token)

    def by_keyword(self, draw: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function that has the keyword, so that its value holds for all that it draws."""

        @wraps(draw)
        def with_setting(*args: P.args, **kwargs: P.kwargs) -> R:
            value = kwargs.get(self._keyword)
            assert value is None or isinstance(value, self._type)
            with self.set_to(value):
                return draw(*args, **kwargs)

        return with_setting
