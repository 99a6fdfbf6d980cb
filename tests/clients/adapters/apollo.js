// @apollo/client with its normalised cache: mutations over HTTP, subscriptions over graphql-ws.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { ANSWER, ASK } from '../documents.js';
import { socket } from './socket.js';

export function connect(place) {
  const live = socket(place);
  const http = new HttpLink({ uri: place.graphqlUrl, headers: { authorization: `Bearer ${place.token}` } });
  const link = ApolloLink.split(({ operationType }) => operationType === 'subscription', new GraphQLWsLink(live), http);
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  return {
    async ask(input) {
      const { data } = await client.mutate({ mutation: gql(ASK), variables: { input } });
      return data.aiAction.requestId;
    },
    subscribe(variables, { result, failed }) {
      client.subscribe({ query: gql(ANSWER), variables }).subscribe({
        next: ({ data, error }) => (error === undefined ? result({ data }) : failed(error)),
        error: failed,
      });
    },
    close: () => live.dispose(),
  };
}
