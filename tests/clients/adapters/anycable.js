// @anycable/core as an editor extension has it: the token in a header, variables as a text.
import { createCable, Channel } from '@anycable/core';
import WebSocket from 'ws';
import { ANSWER } from '../documents.js';

class GraphqlChannel extends Channel {
  static identifier = 'GraphqlChannel';
}

export function connect({ url, token, pingSeconds }) {
  const cable = createCable(url, {
    websocketImplementation: WebSocket,
    websocketOptions: { headers: { authorization: `Bearer ${token}` } },
    pingInterval: pingSeconds * 1000,
    logLevel: 'error',
  });
  return {
    subscribe(variables, { result, rejected }) {
      const nonce = variables.clientSubscriptionId;
      const channel = new GraphqlChannel({ query: ANSWER, variables: JSON.stringify(variables), nonce });
      channel.on('message', (message) => result(message.result));
      channel.on('close', rejected);
      cable.subscribe(channel);
    },
    close: () => cable.disconnect(),
  };
}
