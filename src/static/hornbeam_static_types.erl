%%% Content types by the ends of files' names.
%%%
%%% Called by: hornbeam_static. Calls: hornbeam_headers, file. A table of what sites are made of, and over it the machine's (/etc/mime.types), which is read when
%%% a server starts or is reloaded. Text is UTF-8.
-module(hornbeam_static_types).

-export([table/0, table/1, find/2]).
-export_type([table/0]).

-opaque table() :: #{Extension :: binary() => binary()}.

-define(SYSTEM, "/etc/mime.types").
%% A table longer than this is none.
-define(LONGEST, 4194304).

-spec table() -> table().
table() ->
    case filelib:file_size(?SYSTEM) of
        Size when Size > 0, Size =< ?LONGEST ->
            case file:read_file(?SYSTEM) of
                {ok, Text} -> table(Text);
                {error, _} -> table(<<>>)
            end;
        _ -> table(<<>>)
    end.

%% @doc Text: lines of a type and the extensions that it has.
-spec table(Text :: binary()) -> table().
table(Text) ->
    System = [{hornbeam_headers:lower(Extension), Type}
              || Line <- binary:split(Text, <<"\n">>, [global]), [Type | Extensions] <- [words(Line)], is_type(Type), Extension <- Extensions],
    maps:merge(maps:map(fun(_, Type) -> with_charset(Type) end, built_in()),
               maps:from_list([{Extension, with_charset(Type)} || {Extension, Type} <- System])).

words(<<"#", _/binary>>) -> [];
words(Line) -> [Word || Word <- binary:split(Line, [<<" ">>, <<"\t">>, <<"\r">>], [global]), Word =/= <<>>].

is_type(Type) ->
    case binary:split(Type, <<"/">>) of
        [Main, Sub] -> hornbeam_headers:is_token(Main) andalso hornbeam_headers:is_token(Sub);
        _ -> false
    end.

with_charset(<<"text/", _/binary>> = Type) -> <<Type/binary, "; charset=utf-8">>;
with_charset(<<"application/javascript">> = Type) -> <<Type/binary, "; charset=utf-8">>;
with_charset(Type) -> Type.

%% @doc The type of a file, by what follows the last dot of its name.
-spec find(Name :: binary(), table()) -> binary().
find(Name, Table) ->
    case filename:extension(Name) of
        <<".", Extension/binary>> -> maps:get(hornbeam_headers:lower(Extension), Table, <<"application/octet-stream">>);
        _ -> <<"application/octet-stream">>
    end.

built_in() ->
    #{<<"html">> => <<"text/html">>, <<"htm">> => <<"text/html">>, <<"css">> => <<"text/css">>, <<"js">> => <<"text/javascript">>,
      <<"mjs">> => <<"text/javascript">>, <<"txt">> => <<"text/plain">>, <<"md">> => <<"text/markdown">>, <<"csv">> => <<"text/csv">>,
      <<"vtt">> => <<"text/vtt">>, <<"ics">> => <<"text/calendar">>,
      <<"json">> => <<"application/json">>, <<"map">> => <<"application/json">>, <<"webmanifest">> => <<"application/manifest+json">>,
      <<"xml">> => <<"application/xml">>, <<"atom">> => <<"application/atom+xml">>, <<"rss">> => <<"application/rss+xml">>,
      <<"xhtml">> => <<"application/xhtml+xml">>, <<"wasm">> => <<"application/wasm">>, <<"pdf">> => <<"application/pdf">>,
      <<"zip">> => <<"application/zip">>, <<"gz">> => <<"application/gzip">>, <<"tar">> => <<"application/x-tar">>,
      <<"svg">> => <<"image/svg+xml">>, <<"png">> => <<"image/png">>, <<"jpg">> => <<"image/jpeg">>, <<"jpeg">> => <<"image/jpeg">>,
      <<"gif">> => <<"image/gif">>, <<"webp">> => <<"image/webp">>, <<"avif">> => <<"image/avif">>, <<"ico">> => <<"image/x-icon">>,
      <<"woff">> => <<"font/woff">>, <<"woff2">> => <<"font/woff2">>, <<"ttf">> => <<"font/ttf">>, <<"otf">> => <<"font/otf">>,
      <<"mp3">> => <<"audio/mpeg">>, <<"m4a">> => <<"audio/mp4">>, <<"ogg">> => <<"audio/ogg">>, <<"wav">> => <<"audio/wav">>,
      <<"mp4">> => <<"video/mp4">>, <<"webm">> => <<"video/webm">>, <<"mov">> => <<"video/quicktime">>}.
