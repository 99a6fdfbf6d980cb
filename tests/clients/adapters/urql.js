// @urql/core with its document cache: mutations over HTTP, subscriptions over graphql-ws.
import { Client, cacheExchange, fetchExchange, subscriptionExchange } from '@urql/core';
import { ANSWER, ASK } from '../documents.js';
import { socket } from './socket.js';

export function connect(place) {
  const live = socket(place);
  const forwardSubscription = (operation) => ({
    subscribe: (sink) => ({ unsubscribe: live.subscribe(operation, sink) }),
  });
  const client = new Client({
    url: place.graphqlUrl,
    fetchOptions: { headers: { authorization: `Bearer ${place.token}` } },
    exchanges: [cacheExchange, fetchExchange, subscriptionExchange({ forwardSubscription })],
  });
  return {
    async ask(input) {
      const { data, error } = await client.mutation(ASK, { input });
      if (error !== undefined) throw error;
      return data.aiAction.requestId;
    },
    subscribe(variables, { result, failed }) {
      client.subscription(ANSWER, variables).subscribe(({ data, error }) => {
        if (error === undefined) result({ data });
        else failed(error);
      });
    },
    close: () => live.dispose(),
  };
}
