"""Audio files as streams: `reader` decodes any, `writer` encodes what `formats` lists."""
