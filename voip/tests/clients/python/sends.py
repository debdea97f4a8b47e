"""Ann shows a lively picture and sings, for a while."""

import asyncio

from people import Person, main, saw

RED = (200, 30, 30)


async def scenario(url, ann, seconds):
    ann = Person(url, ann)
    await ann.join()
    await ann.show(RED, lively=True)
    await ann.sing(440)
    saw("sends")
    await asyncio.sleep(float(seconds))
    await ann.leave()


main(scenario)
