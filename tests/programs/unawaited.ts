// Puts a value on an unreachable broker without awaiting the outcome.
import { Channel } from "../../mod.ts";

new Channel({ connection: "amqp://localhost:1", retryTimeout: 50 }).put(1);
