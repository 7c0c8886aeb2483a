"""The port that the service listens on."""

import socket

from loguru import logger

from inference.errors import SettingsError
from inference.settings import Settings


def bind(settings: Settings) -> tuple[socket.socket, str]:
    """Take the service's port before anything slow is done; returns it with its address.

    Raises `SettingsError` where it cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise SettingsError(
            f"{settings.host}:{settings.port} cannot be listened on ({reason}): set PORT or HOST to another"
        ) from None
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if family == socket.AF_INET6 else f"http://{host}:{port}"
    logger.info("starting on {}", address)
    return listener, address
