"""Messages that wait for what belongs to them, in the order of arrival."""
import collections

from instant_nerf_ros.ros.inputs.tf_lookup import NotYetError, UnusableError


class Waiting:
    """A queue whose first item holds up the others: the order counts. Not safe for threads."""

    def __init__(self, clock, drop):
        """Keep a clock in seconds, and drop(item, error), told of items that cannot be used."""
        self._clock, self._drop = clock, drop
        self._items = collections.deque()  # (item, since)
        self.cause = 'an earlier one'  # what the first item waits for

    def __len__(self):
        """Return how many wait."""
        return len(self._items)

    def append(self, item):
        """Let an item wait."""
        self._items.append((item, self._clock()))

    def popleft(self):
        """Return the first item, which waits no more."""
        return self._items.popleft()[0]

    def keep(self, condition):
        """Keep the items for which condition(item) holds; return how many are gone."""
        before = len(self._items)
        self._items = collections.deque(pair for pair in self._items if condition(pair[0]))
        return before - len(self._items)

    def clear(self):
        """Forget all of them."""
        self._items.clear()

    def poll(self, use, timeout):
        """Call use(item, waited [s], expired) for one after the other.

        Where that raises NotYetError all wait on, unless its wait has taken timeout seconds. Then,
        or where it raises another UnusableError, the item is dropped.
        """
        while self._items:
            item, since = self._items[0]
            waited = self._clock() - since
            expired = waited >= timeout
            try:
                use(item, waited, expired)
            except UnusableError as error:
                if isinstance(error, NotYetError) and not expired:
                    self.cause = str(error)
                    return
                self._drop(item, error)
            self._items.popleft()
