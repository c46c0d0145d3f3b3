"""Messages that wait for their transform, camera_info or depth, in the order of arrival."""
import collections
from collections.abc import Callable
from typing import Generic, TypeVar

from instant_nerf_ros.ros.inputs.tf_lookup import NotYetError, UnusableError

Item = TypeVar('Item')


class PendingMessages(Generic[Item]):
    """A first-in, first-out queue. Its first item blocks the others, which keeps the order.

    It is not thread-safe: its owner holds a lock.
    """

    def __init__(
        self, clock: Callable[[], float], drop: Callable[[Item, UnusableError], None],
    ) -> None:  # fmt: skip
        """Use clock() in seconds; drop(item, error) is called for items that cannot be used."""
        self._clock, self._drop = clock, drop
        self._items: collections.deque[tuple[Item, float]] = collections.deque()  # with arrival
        self.blocked_by = 'the queue has not been polled yet'  # why the first item has to wait

    def __len__(self) -> int:
        """Return the number of pending items."""
        return len(self._items)

    def append(self, item: Item) -> None:
        """Add an item at the end."""
        self._items.append((item, self._clock()))

    def popleft(self) -> Item:
        """Remove and return the first item."""
        return self._items.popleft()[0]

    def filter(self, predicate: Callable[[Item], bool]) -> int:
        """Remove the items for which predicate(item) is false, and return their number."""
        before = len(self._items)
        self._items = collections.deque(pair for pair in self._items if predicate(pair[0]))
        return before - len(self._items)

    def clear(self) -> None:
        """Remove all items."""
        self._items.clear()

    def poll(self, process: Callable[[Item, float, bool], None], timeout: float) -> None:
        """Call process(item, age [s], expired) for the items in order, and remove them.

        If it raises NotYetError, the item stays in the queue until its age exceeds timeout [s].
        After that, or if process raises another UnusableError, the item is dropped.
        """
        while self._items:
            item, arrival = self._items[0]
            age = self._clock() - arrival
            expired = age >= timeout
            try:
                process(item, age, expired)
            except UnusableError as error:
                if isinstance(error, NotYetError) and not expired:
                    self.blocked_by = str(error)
                    return
                self._drop(item, error)
            self._items.popleft()
