// Plays SCENARIO with the client library CLIENT, against CABLE_URLS (one connection to each) and GRAPHQL_URL,
// and prints as JSON what each connection saw. Judges nothing: that is for who runs it.
import { subscribe } from './cable.mjs';

const { CLIENT, SCENARIO, GRAPHQL_URL, TOKEN, USER_ID } = process.env;
const urls = JSON.parse(process.env.CABLE_URLS);
const pingSeconds = Number(process.env.PING_SECONDS);
// A mutation with more fields has a larger response.
const fields = process.env.MORE_FIELDS ?? '';
const MUTATION = `mutation ask($input: AiActionInput!) { aiAction(input: $input) { requestId errors ${fields} } }`;

// Sends `aiAction`; the request's id, and when it could be read. The rest of the response may come later.
async function ask(clientSubscriptionId) {
  const input = { chat: { content: 'What is new?' }, clientSubscriptionId, clientMutationId: 'x'.repeat(500) };
  const response = await fetch(GRAPHQL_URL, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ query: MUTATION, variables: { input } }),
  });
  const decoder = new TextDecoder();
  let text = '';
  let asked;
  for await (const bytes of response.body) {
    text += decoder.decode(bytes, { stream: true });
    const requestId = /"requestId":"([^"]+)"/.exec(text.slice(0, 1000))?.[1];
    if (requestId !== undefined) asked ??= { requestId, known: performance.now() };
  }
  if (asked === undefined) throw new Error(`not accepted: ${text}`);
  return asked;
}

const SCENARIOS = {
  async before(open, id) {
    const subscription = open(id);
    await subscription.confirmed;
    return [subscription, await ask(id)];
  },
  // The answer has begun, and somebody else has read of it, when this one subscribes.
  async during(open, id) {
    const asked = await ask(id);
    const witness = open(id);
    await witness.first;
    const subscription = open(id);
    await subscription.finished;
    witness.close();
    return [subscription, asked];
  },
  async after(open, id) {
    const asked = await ask(id);
    await untilAnswered(asked.requestId);
    return [open(id), asked];
  },
  // As editor extensions do: the mutation does not wait for the subscription, and mostly overtakes it.
  async race(open, id) {
    const asking = ask(id);
    return [open(id), await asking];
  },
  async rejected(open, id) {
    const subscription = open(id);
    await subscription.rejected;
    subscription.on_finished();
    return [subscription, {}];
  },
};

async function untilAnswered(requestId) {
  const query = `{ aiMessages(requestIds: ["${requestId}"]) { nodes { role } } }`;
  for (;;) {
    const response = await fetch(GRAPHQL_URL, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    const { data } = await response.json();
    if (data.aiMessages.nodes.some(({ role }) => role === 'ASSISTANT')) return;
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

async function play(url, index) {
  const id = `${CLIENT}-${SCENARIO}-${index}`;
  const open = (clientSubscriptionId) =>
    subscribe(CLIENT, { url, token: TOKEN, pingSeconds, clientSubscriptionId, userId: USER_ID });
  const [subscription, { requestId, known }] = await SCENARIOS[SCENARIO](open, id);
  await subscription.finished;
  subscription.close();
  const { messages, errors } = subscription;
  const early = messages.filter(({ at }) => at < known).length;
  return { requestId, early, errors, messages: messages.map(({ at, ...message }) => message) };
}

console.log(JSON.stringify(await Promise.all(urls.map(play))));
process.exit(0);
