"""The error of a request to a KFP server. It is not in `pipeline.client`, because that imports kfp, which takes a second."""

from kd.errors import InputError


class ServerError(InputError):
    """A request to the server failed.

    Args:
        where: the server's address.
        status: the HTTP status; 0 if there was no response.
        problem: what is wrong.
        remedy: what to do about it.
    """

    def __init__(self, where: str, status: int, problem: str, remedy: str) -> None:
        super().__init__(where, problem, remedy)
        self.status = status

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (0, 408, 429) or self.status >= 500
