// Plays PLAN with one client library: its plays all at once, each over a connection of its own. Prints as JSON what
// each of them saw, in the order of the plan. Judges nothing: that is for who runs it.
import { ASK } from './documents.js';

const { client, token, userId, graphqlUrl, pingSeconds, moreFields, plays } = JSON.parse(process.env.PLAN);
const { connect } = await import(`./adapters/${client}.js`);

const post = (body) => fetch(graphqlUrl, {
  method: 'POST',
  headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

// Sends `aiAction` by hand; the request's id as soon as it can be read. The rest of the response may come later.
async function askByHand(input) {
  // A mutation with more fields has a larger response.
  const query = ASK.replace('errors', `errors ${moreFields}`);
  const response = await post({ query, variables: { input } });
  const decoder = new TextDecoder();
  let [text, requestId] = ['', undefined];
  let known;
  for await (const bytes of response.body) {
    text += decoder.decode(bytes, { stream: true });
    requestId ??= /"requestId":"([^"]+)"/.exec(text.slice(0, 1000))?.[1];
    if (requestId !== undefined) known ??= performance.now();
  }
  if (requestId === undefined) throw new Error(`not accepted: ${text}`);
  return { requestId, known };
}

// With the library, where it has mutations.
async function ask(connection, clientSubscriptionId) {
  const input = { chat: { content: 'What is new?' }, clientSubscriptionId, clientMutationId: 'x'.repeat(500) };
  if (connection.ask === undefined || moreFields !== '') return askByHand(input);
  const requestId = await connection.ask(input);
  return { requestId, known: performance.now() };
}

async function untilAnswered(requestId) {
  const query = `{ aiMessages(requestIds: ["${requestId}"]) { nodes { role } } }`;
  for (;;) {
    const { data } = await (await post({ query })).json();
    if (data.aiMessages.nodes.some(({ role }) => role === 'ASSISTANT')) return;
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

const SCENARIOS = {
  async before(connection, id, play) {
    const subscription = subscribe(connection, id, play);
    await subscription.standing;
    return [subscription, await ask(connection, id)];
  },
  // The answer has begun, and somebody else has read of it, when this one subscribes.
  async during(connection, id, play) {
    const asked = await ask(connection, id);
    const witness = connect({ url: play.url, graphqlUrl, token, pingSeconds });
    await subscribe(witness, id, play).chunk;
    const subscription = subscribe(connection, id, play);
    await subscription.finished;
    witness.close();
    return [subscription, asked];
  },
  async after(connection, id, play) {
    const asked = await ask(connection, id);
    await untilAnswered(asked.requestId);
    return [subscribe(connection, id, play), asked];
  },
  // As editor extensions do: the mutation does not wait for the subscription, and mostly overtakes it.
  async race(connection, id, play) {
    const asking = ask(connection, id);
    return [subscribe(connection, id, play), await asking];
  },
  async rejected(connection, id, play) {
    const subscription = subscribe(connection, id, play);
    await subscription.rejected;
    subscription.on_finished();
    return [subscription, {}];
  },
};

// Subscribes to what carries `clientSubscriptionId`. `messages` has every message; the promises resolve when the
// server has said that the subscription stands, or is rejected, with the first chunk, and when the answer has come as
// often as the play waits for it.
function subscribe(connection, clientSubscriptionId, { finals }) {
  const subscription = { messages: [], errors: [], ended() {} };
  for (const event of ['standing', 'rejected', 'chunk', 'finished']) {
    subscription[event] = new Promise((resolve) => { subscription[`on_${event}`] = resolve; });
  }
  const isFinal = ({ role, chunkId }) => role === 'ASSISTANT' && chunkId === null;
  connection.subscribe({ userId, clientSubscriptionId }, {
    rejected: () => subscription.on_rejected(),
    failed: (error) => subscription.errors.push(String(error)),
    result({ data, errors }) {
      subscription.errors.push(...(errors ?? []));
      // As GitLab's clients do, without asking whether there is `data`.
      const message = data.aiCompletionResponse;
      if (message === null) return subscription.on_standing();
      subscription.messages.push({ ...message, at: performance.now() });
      if (message.chunkId !== null) subscription.on_chunk();
      if (isFinal(message)) subscription.ended(message.requestId);
      if (subscription.messages.filter(isFinal).length >= finals) subscription.on_finished();
    },
  });
  return subscription;
}

// Asks once more on the same page: whatever else is sent of the first answer comes before the second one's end.
async function untilTheNextIsAnswered(connection, id, subscription) {
  const ends = new Set();
  let wanted;
  const isThere = new Promise((resolve) => {
    subscription.ended = (requestId) => {
      ends.add(requestId);
      if (ends.has(wanted)) resolve();
    };
  });
  ({ requestId: wanted } = await ask(connection, id));
  if (!ends.has(wanted)) await isThere;
  return wanted;
}

async function perform(play, index) {
  const connection = connect({ url: play.url, graphqlUrl, token, pingSeconds });
  const id = `${client}-${play.scenario}-${index}`;
  const [subscription, { requestId, known }] = await SCENARIOS[play.scenario](connection, id, play);
  await subscription.finished;
  const after = play.marked ? await untilTheNextIsAnswered(connection, id, subscription) : undefined;
  connection.close();
  const { errors } = subscription;
  const messages = subscription.messages.filter((message) => message.requestId !== after);
  const early = messages.filter(({ at }) => at < known).length;
  return { requestId, early, errors, messages: messages.map(({ at, ...message }) => message) };
}

console.log(JSON.stringify(await Promise.all(plays.map(perform))));
process.exit(0);
