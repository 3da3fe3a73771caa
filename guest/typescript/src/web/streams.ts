// Defines the classes of web streams.

import {
  ByteLengthQueuingStrategy,
  CountQueuingStrategy,
  ReadableStream,
  TransformStream,
  WritableStream,
} from "web-streams-polyfill";
import { define } from "./define.js";

define({ ByteLengthQueuingStrategy, CountQueuingStrategy, ReadableStream, TransformStream, WritableStream });
