"""What routes ask for by the type of a parameter: services, links, who is asking, and the photo of a request.

All FastAPI dependencies are here, except those of the compatibility routes, which are kept apart. The order
in which a route takes them is the order in which they are checked: credentials before the body, and the body
before a slot.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Annotated, Final, cast

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from db.console_sessions import ConsoleSession
from db.face_searches import Searcher
from db.profiles import Profile
from deployments.joined import asker_var
from semblance.errors import ForbiddenError, UnauthorizedError
from serve_app.api.cookies import SESSION_COOKIE, session_cookie
from serve_app.api.copies import Copies
from serve_app.api.operators import OperatorIdentity, operator_of_cookie, operator_of_token, session_of_cookie
from serve_app.api.photos import PhotoPair, ReceivedPhoto, batch_type, pair_type, photo_type, receive
from serve_app.api.readiness import StoreProbe
from serve_app.api.realtime_clients import LONGEST_STREAM_S, check_request, joined
from serve_app.api.services import Services
from serve_app.api.sign_in import authenticate
from serve_app.auth import UserSession, bearer_token, check_secret, same_secret
from serve_app.limits import Client, ReplicaLimits
from serve_app.links import Links
from serve_app.realtime.subscription import Subscription

user_bearer = HTTPBearer(auto_error=False, scheme_name="User", description="The user's access token (JWT).")
api_key_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="The service's API key, or one of `semblance keys`."
)
cron_bearer = HTTPBearer(auto_error=False, scheme_name="Cron", description="The cron secret.")
console_cookie = APIKeyCookie(
    name=SESSION_COOKIE, auto_error=False, scheme_name="Console", description="A session of the console."
)


async def get_services(connection: HTTPConnection) -> Services:
    """The replica's services, for routes of HTTP and WebSocket alike."""
    return _services_of(connection)


Injected = Annotated[Services, Depends(get_services)]


async def get_links(connection: HTTPConnection) -> Links:
    """Links under `public_url`, or under the address that the client called."""
    services = _services_of(connection)
    settings = services.settings
    return Links(settings, services.storage, settings.public_url or str(connection.base_url))


async def get_copies(connection: HTTPConnection) -> Copies:
    """The replica's maker of clean copies."""
    return cast(Copies, connection.app.state.copies)


async def get_store_probe(connection: HTTPConnection) -> StoreProbe:
    """The replica's probe of the picture store."""
    return cast(StoreProbe, connection.app.state.store_probe)


InjectedLinks = Annotated[Links, Depends(get_links)]
InjectedCopies = Annotated[Copies, Depends(get_copies)]
InjectedStoreProbe = Annotated[StoreProbe, Depends(get_store_probe)]


class _UserScheme(SecurityBase):
    """Users' access tokens in the OpenAPI document. FastAPI calls a scheme as it calls any dependency. So
    this one checks the token itself: every dependency below another one takes a part of the time of a read.
    """

    scheme_name = user_bearer.scheme_name
    model = user_bearer.model

    async def authenticated(self, request: Request) -> Profile:
        """The profile of the token's user; raises as `authenticate`."""
        token = bearer_token(request.headers.get("authorization"))
        signed_in = await authenticate(_services_of(request), token)
        request.state.session = signed_in.session
        _identify(request, Client("user", str(signed_in.user.id)))
        return signed_in.user


class _RequiredUser(_UserScheme):
    async def __call__(self, request: Request) -> Profile:
        return await self.authenticated(request)


class _OptionalUser(_UserScheme):
    """None for a request without credentials. Invalid ones are still refused."""

    async def __call__(self, request: Request) -> Profile | None:
        return await self.authenticated(request) if "authorization" in request.headers else None


current_user = _RequiredUser()
optional_user = _OptionalUser()


async def current_session(request: Request, _: Annotated[Profile, Security(current_user)]) -> UserSession:
    """The session of the token's user."""
    return cast(UserSession, request.state.session)


CurrentUser = Annotated[Profile, Security(current_user)]
CurrentSession = Annotated[UserSession, Depends(current_session)]
OptionalUser = Annotated[Profile | None, Security(optional_user)]


async def current_operator(
    request: Request,
    services: Injected,
    _: Annotated[object, Security(user_bearer)],
    __: Annotated[object, Security(console_cookie)],
) -> OperatorIdentity:
    """An admin by access token, or else the session of the console; raises as `operator_of_token` and
    `operator_of_cookie`."""
    if not _uses_console(request):
        token = bearer_token(request.headers.get("authorization"))
        operator, signed_in = await operator_of_token(services, token)
        request.state.session = signed_in.session
    else:
        operator = await operator_of_cookie(services, request)
    _identify(request, Client("user", str(operator.profile_id or operator.session_id)))
    return operator


async def current_console_session(
    request: Request, services: Injected, _: Annotated[object, Security(console_cookie)]
) -> ConsoleSession:
    """The session of the console by its cookie; raises as `session_of_cookie`."""
    return await session_of_cookie(services, request)


Operator = Annotated[OperatorIdentity, Depends(current_operator)]
CurrentConsoleSession = Annotated[ConsoleSession, Depends(current_console_session)]
OptionalBearer = Annotated[object, Security(user_bearer)]


async def current_searcher(
    request: Request,
    services: Injected,
    as_user: Annotated[object, Security(user_bearer)],
    _: Annotated[object, Security(api_key_bearer)],
    by_cookie: Annotated[object, Security(console_cookie)],
) -> Searcher:
    """An operator, or the owner of an API key of the scope `search`; the service's own key does not open
    this.

    Raises ForbiddenError for other users, and for everybody if the settings do not allow the search.
    """
    by_console = _uses_console(request)
    token = "" if by_console else bearer_token(request.headers.get("authorization"))
    if by_console or "." in token:
        operator = await current_operator(request, services, as_user, by_cookie)
        session_id = operator.session_id if operator.profile_id is None else None
        searcher = Searcher(profile_id=operator.profile_id, console_session_id=session_id)
    elif key_id := await services.db.api_keys.use(token, "search"):
        _identify(request, Client("key", token))
        searcher = Searcher(api_key_id=key_id)
    else:
        raise UnauthorizedError("This takes an admin's access token or a key of the scope 'search'.")
    if not services.settings.face_search:
        raise ForbiddenError("The search among users' faces is off; SEMBLANCE_FACE_SEARCH=true allows it.")
    return searcher


CurrentSearcher = Annotated[Searcher, Depends(current_searcher)]


async def require_api_key(request: Request) -> None:
    """Refuse a request without the service's own API key, a live one from `semblance keys create`, or a
    session of the console."""
    services = _services_of(request)
    if _uses_console(request):
        await current_operator(request, services, None, None)
        return
    key = bearer_token(request.headers.get("authorization"))
    if same_secret(key, services.settings.required_api_key):
        _identify(request, Client("key", ""))
    elif await services.db.api_keys.use(key, "compute") is not None:
        _identify(request, Client("key", key))
    else:
        raise UnauthorizedError("This takes the service's API key or a key of the scope 'compute'.")


API_KEY: Final = (Security(api_key_bearer), Security(console_cookie), Depends(require_api_key))
"""Dependencies of routes that take an API key: how it may be sent, for the document, and the check."""


async def require_metrics_key(
    request: Request,
    services: Injected,
    as_user: Annotated[object, Security(api_key_bearer)],
    by_cookie: Annotated[object, Security(console_cookie)],
) -> None:
    """Refuse a request without the service's own API key, a live key of the scope `metrics`, or a session of
    the console."""
    if _uses_console(request):
        await current_operator(request, services, as_user, by_cookie)
        return
    key = bearer_token(request.headers.get("authorization"))
    if same_secret(key, services.settings.required_api_key):
        return
    if await services.db.api_keys.use(key, "metrics") is None:
        raise UnauthorizedError("This takes the service's API key or a key of the scope 'metrics'.")


async def require_cron(
    request: Request, services: Injected, _: Annotated[object, Security(cron_bearer)]
) -> None:
    """Refuse a request without the cron secret."""
    check_secret(request.headers.get("authorization"), services.settings.required_cron_secret)


@asynccontextmanager
async def _body(request: Request, content_type: str) -> AsyncIterator[ReceivedPhoto]:
    """The whole body of a request with photos; several together may be as large as one, because that is what
    every part on the way has room for.

    Raises BusyClientError if too many bodies of the same client are arriving, and as `receive`.
    """
    with _limits_of(request).uploads.open(_client_of(request)) as upload:
        limit = _services_of(request).settings.max_image_bytes
        async with receive(request, content_type, upload, limit) as received:
            yield received


def _slots(request: Request, photos: int = 1) -> AbstractContextManager[None]:
    """Hold so many of the replica's slots; raises as `FairShare.take`. They are taken for the work, after the
    body, and not for the time in which a slow client sends."""
    return _limits_of(request).slots.held(_client_of(request), photos)


async def count_search(connection: HTTPConnection) -> None:
    """Count a search of people; raises as `Rate.count`."""
    _limits_of(connection).searches.count(_client_of(connection))


# One dependency of the request alone: FastAPI takes longer for each dependency than these do.
async def read_photo(request: Request) -> AsyncIterator[bytes]:
    """The encoded photo of a body of one of the content types of `PHOTO_BODY`, with a slot; raises as
    `photo_type`, `_body`, `_slots` and `ReceivedPhoto.read`."""
    async with _body(request, photo_type(request)) as received:
        with _slots(request):
            yield await received.read(_services_of(request).settings.max_image_bytes)


async def read_photos(request: Request) -> AsyncIterator[PhotoPair]:
    """The two encoded photos of a body of one of the content types of `TWO_PHOTOS_BODY`, with a slot; raises
    as `pair_type`, `_body`, `_slots` and `ReceivedPhoto.read_pair`."""
    async with _body(request, pair_type(request)) as received:
        with _slots(request):
            yield await received.read_pair(_services_of(request).settings.max_image_bytes)


async def read_batch(request: Request) -> AsyncIterator[list[bytes]]:
    """The encoded photos, of any size, of a body of one of the content types of `BATCH_BODY`, with a slot for
    each; raises as `batch_type`, `_body`, `_slots` and `ReceivedPhoto.read_batch`."""
    most = min(_services_of(request).settings.max_batch_photos, _limits_of(request).slots.most)
    # The first photo's slot is needed to find out how many there are.
    async with _body(request, batch_type(request)) as received:
        with _slots(request):
            photos = await received.read_batch(most)
            if len(photos) == 1:
                yield photos
            else:
                with _slots(request, len(photos) - 1):
                    yield photos


async def read_file(request: Request) -> AsyncIterator[bytes]:
    """The body itself, of any content type; it is only stored, so it takes no slot.

    Raises BadInputError for an empty one, ImageTooLargeError for one larger than a photo may be, and as
    `_body`.
    """
    async with _body(request, "application/octet-stream") as received:
        yield await received.read(_services_of(request).settings.max_image_bytes)


SentFile = Annotated[bytes, Depends(read_file)]
Photo = Annotated[bytes, Depends(read_photo)]
Photos = Annotated[PhotoPair, Depends(read_photos)]
PhotoBatch = Annotated[list[bytes], Depends(read_batch)]


async def open_stream(  # noqa: PLR0917 - FastAPI names them
    request: Request,
    services: Injected,
    _: Annotated[object, Security(user_bearer)],
    channels: Annotated[
        str | None,
        Query(
            max_length=200,
            description="A comma-separated list of feed, matches, jobs, messages, notifications, presence; "
            "for operators also admin. Default: all but admin, for guests `feed`, with the console's cookie "
            "`admin`.",
            examples=["feed,messages"],
        ),
    ] = None,
    access_token: Annotated[
        str | None,
        Query(max_length=8192, description="The access token, for clients that cannot set headers."),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Query(
            max_length=20,
            description="Resume after this event; the header takes precedence.",
            examples=["17"],
        ),
    ] = None,
    last_event_id_header: Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)] = None,
) -> AsyncIterator[Subscription]:
    """The client of a request for server-sent events, until the answer ends."""
    asked = await check_request(
        services,
        request,
        authorization=request.headers.get("authorization"),
        access_token=access_token,
        channels=channels,
        last_event_id=last_event_id_header or last_event_id,
    )
    async with joined(services, request, asked, LONGEST_STREAM_S) as client:
        yield client


EventStreamClient = Annotated[Subscription, Depends(open_stream)]


def _uses_console(request: Request) -> bool:
    """Whether the request has a session of the console and nothing that the client itself sent instead."""
    return "authorization" not in request.headers and session_cookie(request) is not None


def _services_of(connection: HTTPConnection) -> Services:
    return cast(Services, connection.app.state.services)


def _identify(connection: HTTPConnection, client: Client) -> None:
    """Record who is asking, as soon as the credentials have been checked."""
    connection.state.client = client
    asker_var.set(client)


def _client_of(connection: HTTPConnection) -> Client:
    return cast(Client, connection.state.client)


def _limits_of(connection: HTTPConnection) -> ReplicaLimits:
    return cast(ReplicaLimits, connection.app.state.limits)
