// Modules that declare no types.

declare module "core-js/web/*";
declare module "event-target-polyfill";
declare module "abortcontroller-polyfill/*";
