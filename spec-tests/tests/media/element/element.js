// What of Element Web's own code the story uses: how it sends a file, and how it shows one.
import ContentMessages from "matrix-react-sdk/src/ContentMessages";
import { MatrixClientPeg } from "matrix-react-sdk/src/MatrixClientPeg";
import { mediaFromContent } from "matrix-react-sdk/src/customisations/Media";
import { MediaEventHelper } from "matrix-react-sdk/src/utils/MediaEventHelper";
import { createClient } from "matrix-js-sdk";

window.element = { ContentMessages, MatrixClientPeg, mediaFromContent, MediaEventHelper, createClient };
