// The websocket client of graphql-ws, which is also how Apollo, urql and Relay come to one. As it is shipped: it
// connects and subscribes again by itself.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

export const socket = ({ url, token }) =>
  createClient({ url, webSocketImpl: WebSocket, connectionParams: { Authorization: `Bearer ${token}` } });
