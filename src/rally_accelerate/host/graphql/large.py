"""Large uploads, handed to the process beside the host: reading one alone would hold every page up."""

import logging

from rally_accelerate.errors import StoreError
from rally_accelerate.host import current, pipe
from rally_accelerate.host.access import HOST, Actor
from rally_accelerate.host.beside import Beside
from rally_accelerate.host.graphql.answering import BUSY, Answer, Way, in_time, refused, told
from rally_accelerate.host.graphql.uploads import NAME

#: From so many bytes on. Some forty issues with their histories, which hold the loop for ten milliseconds.
LARGE = 200_000


class LargeUploads:
    """Answers large uploads as the endpoint would."""

    def __init__(self, beside: Beside) -> None:
        self._beside = beside

    async def answer(self, content: bytes, way: Way, actor: Actor) -> Answer | None:
        """The answer to an upload; None for everything else, and while there is nobody to ask."""
        if len(content) < LARGE or (way is Way.GRAPHQL and NAME.encode() not in content):
            return None
        if not self._beside.can_be_asked:
            # The first one need not wait for it to begin.
            self._beside.start()
            return None
        try:
            return await in_time(self._asked(content, way, actor))
        except StoreError as error:
            logging.getLogger(__name__).warning("%s: %s", NAME, told(error))
            return refused(told(error), BUSY)

    async def _asked(self, content: bytes, way: Way, actor: Actor) -> Answer | None:
        values = {
            "way": way,
            "actor": None if actor is HOST else (actor.id, actor.name, actor.role),
            "execution": current.execution.get(),
            "level": logging.getLogger("rally_accelerate").getEffectiveLevel(),
        }
        word, found, body = await self._beside.ask(values, content)
        for name, level, line in found["log"]:
            # Told here: what may be shown, where to, and to which run it belongs is known in this process.
            logging.getLogger(name).log(level, "%s", line)
        return Answer(found["status"], body) if word == pipe.ANSWER else None
