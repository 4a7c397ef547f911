"""Failures of requests: a status, a code for programs and one sentence for people; never a path or a traceback."""

from typing import Any


class Failure(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status : int
        HTTP status code (RFC 9110, section 15).
    code : str
        A word for programs.
    message : str
        One sentence for people.
    retry_after : int, optional
        Seconds after which the same request may succeed (RFC 9110, section 10.2.3).
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after
        super().__init__(message)

    def headers(self) -> dict[str, str]:
        """Return the headers of the answer."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the JSON body of the answer.

        Examples
        --------
        >>> Failure(413, "too_large", "Send at most 64 MB.").body("7f")
        {'code': 'too_large', 'message': 'Send at most 64 MB.', 'request_id': '7f'}
        """
        return {"code": self.code, "message": self.message, "request_id": request_id}
