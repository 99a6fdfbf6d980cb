"""Plays PLAN with gql over websockets, as scenario.js does with the libraries for JavaScript.

A subscription of this library ends with its connection. Another connection is made then, and on it another subscription
behind the last cursor, so that nothing comes twice. The library's own sessions that reconnect are no help: what is
subscribed to while they do can wait for ever. An error of any play ends the script.
"""

import asyncio
import json
import os
from urllib.parse import urlsplit

from gql import Client, gql
from gql.transport.exceptions import TransportClosed, TransportConnectionFailed
from gql.transport.websockets import WebsocketsTransport

PLAN = json.loads(os.environ["PLAN"])
# Before something is tried or looked at again.
BREATH_SECONDS = 0.05

ASK = "mutation ask($input: AiActionInput!) { aiAction(input: $input) { requestId errors } }"
ANSWER = """subscription answer($userId: UserID, $clientSubscriptionId: String, $after: String) {
  aiCompletionResponse(userId: $userId, clientSubscriptionId: $clientSubscriptionId, after: $after) {
    id requestId role content contentHtml chunkId errors
  }
}"""
ANSWERED = "query answered($requestIds: [ID!]) { aiMessages(requestIds: $requestIds) { nodes { role } } }"


def request(document, **variables):
    made = gql(document)
    made.variable_values = variables
    return made


def client(url):
    # Named, because it takes a server for one of the older protocol that spells the header of its choice in small
    # letters.
    protocols = [WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL]
    token = {"Authorization": f"Bearer {PLAN['token']}"}
    return Client(transport=WebsocketsTransport(url, init_payload=token, subprotocols=protocols))


def is_final(message):
    return message["role"] == "ASSISTANT" and message["chunkId"] is None


class Subscription:
    """What one subscription saw; `standing` and `chunk` are set when the server has said so, and sent one."""

    def __init__(self, url, page):
        self.messages = []
        self.standing, self.chunk, self.finished = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.ends = asyncio.Queue()
        self.reading = asyncio.create_task(self.read(url, page))

    async def read(self, url, page):
        cursor = None
        while True:
            try:
                async with client(url) as session:
                    wanted = request(ANSWER, userId=PLAN["userId"], clientSubscriptionId=page, after=cursor)
                    async for result in session.subscribe(wanted, get_execution_result=True):
                        cursor = result.extensions["cursor"]
                        self.take(result.data["aiCompletionResponse"])
            except (TransportClosed, TransportConnectionFailed):
                await asyncio.sleep(BREATH_SECONDS)

    def take(self, message):
        if message is None:
            return self.standing.set()
        self.messages.append(message)
        if message["chunkId"] is not None:
            self.chunk.set()
        if is_final(message):
            self.ends.put_nowait(message["requestId"])
            self.finished.set()

    async def unless_reading_fails(self, waiting):
        waiting = asyncio.ensure_future(waiting)
        await asyncio.wait({waiting, self.reading}, return_when=asyncio.FIRST_COMPLETED)
        return self.reading.result() if self.reading.done() else waiting.result()

    async def until_the_end_of(self, request_id):
        while await self.ends.get() != request_id:
            pass


async def ask(session, page):
    asked = {"chat": {"content": "What is new?"}, "clientSubscriptionId": page}
    return (await session.execute(request(ASK, input=asked)))["aiAction"]["requestId"]


async def until_answered(session, request_id):
    while True:
        answer = await session.execute(request(ANSWERED, requestIds=[request_id]))
        if any(node["role"] == "ASSISTANT" for node in answer["aiMessages"]["nodes"]):
            return
        await asyncio.sleep(BREATH_SECONDS)


async def before(asking, url, page):
    subscription = Subscription(url, page)
    await subscription.standing.wait()
    return subscription, await ask(asking, page)


async def during(asking, url, page):
    """The answer has begun, and somebody else has read of it, when this one subscribes."""
    request_id = await ask(asking, page)
    witness = Subscription(url, page)
    await witness.chunk.wait()
    subscription = Subscription(url, page)
    await witness.unless_reading_fails(witness.finished.wait())
    witness.reading.cancel()
    return subscription, request_id


async def after(asking, url, page):
    request_id = await ask(asking, page)
    await until_answered(asking, request_id)
    return Subscription(url, page), request_id


async def race(asking, url, page):
    asked = asyncio.create_task(ask(asking, page))
    return Subscription(url, page), await asked


SCENARIOS = {"before": before, "during": during, "after": after, "race": race}


async def perform(index, play):
    page = f"gql-{play['scenario']}-{index}"
    # Mutations have a connection of their own, which nobody cuts.
    directly = urlsplit(PLAN["graphqlUrl"])._replace(scheme="ws").geturl()
    async with client(directly) as asking:
        subscription, request_id = await SCENARIOS[play["scenario"]](asking, play["url"], page)
        await subscription.unless_reading_fails(subscription.finished.wait())
        # Whatever else is sent of the first answer comes before the second one's end.
        marker = await ask(asking, page)
        await subscription.unless_reading_fails(subscription.until_the_end_of(marker))
        subscription.reading.cancel()
    messages = [message for message in subscription.messages if message["requestId"] != marker]
    return {"requestId": request_id, "messages": messages}


async def main():
    return await asyncio.gather(*(perform(index, play) for index, play in enumerate(PLAN["plays"])))


print(json.dumps(asyncio.run(main())))
