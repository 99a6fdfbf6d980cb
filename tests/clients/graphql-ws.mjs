// The graphql-ws client library over GRAPHQL_URL: asks for a summary over HTTP, subscribes afterwards,
// and must get the whole answer. Then it subscribes first and must get every chunk in order, then the
// whole answer. Exits 1 and says why when something is missing, out of order or too much.
import assert from 'node:assert/strict';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const url = process.env.GRAPHQL_URL;
const authorization = `Bearer ${process.env.TOKEN}`;
const resourceId = 'gid://gitlab/Issue/52';

const SUBSCRIPTION = `subscription answer($resourceId: AiModelID, $clientSubscriptionId: String) {
  aiCompletionResponse(resourceId: $resourceId, clientSubscriptionId: $clientSubscriptionId) {
    requestId role content chunkId errors
  }
}`;

const MUTATION = `mutation ask($input: AiActionInput!) { aiAction(input: $input) { requestId errors } }`;

const client = createClient({
  url: url.replace('http', 'ws'),
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: authorization },
  retryAttempts: 0,
});

async function ask(clientSubscriptionId) {
  const input = { summarizeComments: { resourceId }, clientSubscriptionId };
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify({ query: MUTATION, variables: { input } }),
  });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data.aiAction.requestId;
}

// Collects messages up to the whole answer. `subscribed` is called when the server has confirmed.
async function collect(clientSubscriptionId, subscribed = () => {}) {
  const variables = { resourceId, clientSubscriptionId };
  const messages = [];
  for await (const result of client.iterate({ query: SUBSCRIPTION, variables })) {
    assert.equal(result.errors, undefined, JSON.stringify(result.errors));
    const message = result.data.aiCompletionResponse;
    if (message === null) {
      subscribed();
      continue;
    }
    messages.push(message);
    if (message.chunkId === null) return messages;
  }
  throw new Error('the subscription ended without an answer');
}

function check(messages, requestId) {
  const chunks = messages.slice(0, -1);
  const answer = messages.at(-1);
  assert.ok(messages.every((message) => message.requestId === requestId && message.role === 'ASSISTANT'));
  assert.deepEqual(answer.errors, []);
  assert.ok(answer.content.length > 0);
  assert.deepEqual(chunks.map(({ chunkId }) => chunkId), chunks.map((_, index) => index + 1));
  if (chunks.length > 0) assert.equal(chunks.map(({ content }) => content).join(''), answer.content);
  return chunks.length;
}

for (let round = 0; round < 10; round += 1) {
  const requestId = await ask(`after-${round}`);
  const chunks = check(await collect(`after-${round}`), requestId);
  console.log(`subscribed after the mutation: ${chunks} chunks, then the answer`);
}

let confirmed;
const confirmation = new Promise((resolve) => { confirmed = resolve; });
const collected = collect('before', confirmed);
await confirmation;
const requestId = await ask('before');
const chunks = check(await collected, requestId);
assert.ok(chunks > 0, 'a subscriber that was there first gets chunks');
console.log(`subscribed before the mutation: ${chunks} chunks, then the answer`);

await client.dispose();
