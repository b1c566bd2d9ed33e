// Puts a value where no broker is, and does not wait for the outcome.
import { Channel } from "../../mod.ts";

new Channel({ connection: "amqp://localhost:1", retryTimeout: 50 }).put(1);
