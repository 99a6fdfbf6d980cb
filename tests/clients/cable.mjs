// Two client libraries of ActionCable, each as those who use it do: @rails/actioncable as a web page, with
// the token in the address and variables as an object; @anycable/core as an editor extension, with the token
// in a header and variables as a text.
import { adapters, createConsumer, ConnectionMonitor } from '@rails/actioncable/app/assets/javascripts/actioncable.esm.js';
import { createCable, Channel } from '@anycable/core';
import WebSocket from 'ws';

// What a page has, and Node has not.
globalThis.document = { visibilityState: 'visible' };
globalThis.addEventListener = () => {};
globalThis.removeEventListener = () => {};
adapters.WebSocket = WebSocket;

const QUERY = `subscription aiCompletionResponse($userId: UserID, $clientSubscriptionId: String, $htmlResponse: Boolean = true) {
  aiCompletionResponse(userId: $userId, clientSubscriptionId: $clientSubscriptionId) {
    requestId role content contentHtml @include(if: $htmlResponse) chunkId errors
  }
}`;

// Both take a server that has missed two pings for dead. `pingSeconds` is how often they expect one.
const CLIENTS = {
  actioncable(url, token, pingSeconds) {
    ConnectionMonitor.staleThreshold = 2 * pingSeconds;
    const consumer = createConsumer(`${url}?access_token=${token}`);
    return {
      subscribe(params, callbacks) {
        const identifier = { channel: 'GraphqlChannel', ...params };
        consumer.subscriptions.create(identifier, callbacks);
      },
      close: () => consumer.disconnect(),
    };
  },
  anycable(url, token, pingSeconds) {
    const cable = createCable(url, {
      websocketImplementation: WebSocket,
      websocketOptions: { headers: { authorization: `Bearer ${token}` } },
      pingInterval: pingSeconds * 1000,
      logLevel: 'error',
    });
    return {
      subscribe({ variables, ...params }, { connected, received, rejected }) {
        class GraphqlChannel extends Channel {
          static identifier = 'GraphqlChannel';
        }
        const channel = new GraphqlChannel({ ...params, variables: JSON.stringify(variables) });
        channel.on('connect', connected);
        channel.on('message', received);
        channel.on('close', rejected);
        cable.subscribe(channel);
      },
      close: () => cable.disconnect(),
    };
  },
};

// Connects with the library of this name and subscribes to what carries `clientSubscriptionId`. `messages`
// has every message, `confirmed` and `rejected` resolve when the server has said so, `finished` when the
// answer is whole.
export function subscribe(name, { url, token, pingSeconds, clientSubscriptionId, userId }) {
  const client = CLIENTS[name](url, token, pingSeconds);
  const subscription = { messages: [], errors: [], close: client.close };
  const said = (event) => new Promise((resolve) => { subscription[`on_${event}`] = resolve; });
  subscription.confirmed = said('confirmed');
  subscription.rejected = said('rejected');
  subscription.first = said('first');
  subscription.finished = said('finished');
  const variables = { clientSubscriptionId, userId };
  client.subscribe({ query: QUERY, operationName: 'aiCompletionResponse', variables, nonce: clientSubscriptionId }, {
    connected: () => subscription.on_confirmed(),
    rejected: () => subscription.on_rejected(),
    received({ result }) {
      subscription.errors.push(...(result.errors ?? []));
      // As GitLab's clients do, without asking whether there is `data`.
      const message = result.data.aiCompletionResponse;
      if (message === null) return;
      subscription.messages.push({ ...message, at: performance.now() });
      subscription.on_first();
      if (message.role === 'ASSISTANT' && message.chunkId === null) subscription.on_finished();
    },
  });
  return subscription;
}
