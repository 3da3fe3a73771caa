// Defines `Blob`, `File` and `FormData`.

import Blob from "fetch-blob";
import File from "fetch-blob/file.js";
import { FormData, formDataToBlob } from "formdata-polyfill/esm.min.js";
import { define } from "./define.js";

define({ Blob, File, FormData });

export { File, formDataToBlob };
