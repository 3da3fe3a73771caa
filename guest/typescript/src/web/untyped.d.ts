// Modules without types of their own.

declare module "core-js/web/*";
declare module "event-target-polyfill";
declare module "abortcontroller-polyfill/*";
