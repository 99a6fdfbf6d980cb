// @rails/actioncable as a web page has it: the token in the address, variables as an object.
import './page.js';
import { createConsumer, ConnectionMonitor } from '@rails/actioncable';
import { ANSWER } from '../documents.js';

export function connect({ url, token, pingSeconds }) {
  // Two missed pings, and the server counts as dead.
  ConnectionMonitor.staleThreshold = 2 * pingSeconds;
  const consumer = createConsumer(`${url}?access_token=${token}`);
  return {
    subscribe(variables, { result, rejected }) {
      const identifier = { channel: 'GraphqlChannel', query: ANSWER, variables, nonce: variables.clientSubscriptionId };
      const received = (message) => result(message.result);
      consumer.subscriptions.create(identifier, { rejected, received });
    },
    close: () => consumer.disconnect(),
  };
}
