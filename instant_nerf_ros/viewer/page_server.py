"""The server of the page: who may open it, and on which address."""
from __future__ import annotations

import contextlib
import hmac
import http
import io
import ipaddress
import secrets
import socket
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

try:
    import viser
    from websockets.asyncio import server as websockets_server
    from websockets.datastructures import Headers
    from websockets.http11 import Response
except ImportError as error:
    raise ImportError(
        f"the viewer needs viser ({error}): pip install 'viser>=1.1'") from error

if TYPE_CHECKING:
    from websockets.http11 import Request

COOKIE = 'instant_nerf_token'
LOCAL_NAMES = 'localhost', '127.0.0.1', '::1'
# No other page may show this one in a frame, and no other server learns the token.
HEADERS = {
    'X-Frame-Options': 'DENY', 'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-store'}
DENIED = ('This viewer wants the token that it has printed where it was started: open the whole '
          'address, http://.../?token=...\n')
ELSEWHERE = 'This page belongs to another address or another origin.\n'

ProcessRequest = Callable[[Any, Any], Any]


class Guard:
    """Decides which requests are answered, those that open a websocket included.

    Without a token, a request has to name this very machine as its host, so that a page of another
    site whose name was made to point here (DNS rebinding) is refused. A websocket also has to
    come from a page of this server. With a token, it must be in the address (?token=...), or in
    the cookie that the first answer sets.
    """

    def __init__(self, token: str = '', host: str = LOCAL_NAMES[0]) -> None:
        """Keep the token, '' for none, and the name of this machine under which it is served."""
        self._token, self._names = token, {*LOCAL_NAMES, host.lower()}
        self.installed = False

    def refusal(self, request: Request) -> str:
        """Return why a request is refused, '' if it is not."""
        host = request.headers.get('Host', '')
        origin = request.headers.get('Origin')
        if origin is not None and urlsplit(origin).netloc != host:
            return ELSEWHERE
        if self._token:
            known = self._asked_token(request) or self._cookie(request)
            return '' if hmac.compare_digest(known.encode(), self._token.encode()) else DENIED
        return '' if urlsplit(f'//{host}').hostname in self._names else ELSEWHERE

    def wrap(self, answer: ProcessRequest) -> ProcessRequest:
        """Return a process_request of websockets that asks refusal() before it answers."""
        self.installed = True

        def process_request(connection: Any, request: Request) -> Response | None:
            if text := self.refusal(request):
                status = http.HTTPStatus.FORBIDDEN
                return Response(status.value, status.phrase, Headers(
                    {**HEADERS, 'Content-Type': 'text/plain; charset=utf-8',
                     'Content-Length': str(len(text))}), text.encode())
            response: Response | None = answer(connection, request)
            if response is not None:
                for name, value in HEADERS.items():
                    response.headers[name] = value
                if self._token and self._asked_token(request):
                    response.headers['Set-Cookie'] = (
                        f'{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict')
            return response
        return process_request

    @staticmethod
    def _asked_token(request: Request) -> str:
        return parse_qs(urlsplit(request.path).query).get('token', [''])[0]

    @staticmethod
    def _cookie(request: Request) -> str:
        try:
            cookies = SimpleCookie('; '.join(request.headers.get_all('Cookie')))
        except CookieError:
            return ''
        return cookies[COOKIE].value if COOKIE in cookies else ''


class PageServer(viser.ViserServer):
    """A server that is never shared over the servers of viser's authors."""

    def request_share_url(self, verbose: bool = True) -> None:
        """Do nothing: a browser must not open the robot to the internet."""


def open_server(host: str, port: int, token: str = '') -> tuple[PageServer, str]:
    """Return a server, and the address of its page with the token, if there is one.

    A host other than this machine itself makes a token if none is given. If the port is taken,
    the next free one is used. Raises ValueError for a host that is no address of this machine.
    """
    local = is_local(host)
    token = '' if local else token or secrets.token_urlsafe(16)
    guard = Guard(token, host)
    serve = websockets_server.serve

    def guarded_serve(handler: Any, host: str, port: int, **options: Any) -> Any:
        options['process_request'] = guard.wrap(options['process_request'])
        return serve(handler, host, port, **options)

    with mock.patch.object(websockets_server, 'serve', guarded_serve), \
            contextlib.redirect_stdout(io.StringIO()):  # viser prints an address without token
        server = PageServer(host, port, label='instant_nerf', verbose=False)
    if not guard.installed:
        server.stop()
        raise RuntimeError('this version of viser serves its page in another way: install 1.1')
    name = host if local else socket.gethostname()
    if ':' in name:
        name = f'[{name}]'
    return server, f'http://{name}:{server.get_port()}/' + (f'?token={token}' if token else '')


def is_local(host: str) -> bool:
    """Return whether only this machine reaches a host. Raises ValueError if none can serve it."""
    try:
        address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
        with socket.socket(address[0], socket.SOCK_STREAM) as probe:
            probe.bind((address[4][0], 0))
    except OSError as error:
        raise ValueError(
            f"viewer_host '{host}' is no address of this machine ({error}): give 127.0.0.1, or "
            '0.0.0.0 for all its networks') from None
    return ipaddress.ip_address(str(address[4][0]).partition('%')[0]).is_loopback
