%%% Static files: requests for what lies in a folder (option `static'), answered without Python.
%%%
%%% Called by: hornbeam_exchange, in the connection's process, which was given this module (answer/3); hornbeam_listener (context/2);
%%% hornbeam_server, hornbeam_reload, hornbeam_server_remains (what is served). Calls: hornbeam_static_path, _files, _conditional, _ranges,
%%% _types, hornbeam_preferences, hornbeam_headers, hornbeam_error, hornbeam_date. A server without the option never loads it.
%%%
%%%     path ──prefix──▶ names ──find──▶ file ──coding──▶ preconditions ──range──▶ reply
%%%               │ refused       │ none, or a folder without an index file
%%%               ▼               ▼
%%%             missing: the fallback for who wants HTML; the next shorter folder or the application; 404
%%%
%%% The longest prefix among folders and mounts wins; of two that are the same, the folder comes first and what it does not have is the
%%% application's. What is served is a persistent_term, which a reload replaces. A small file leaves in one write with its head, from memory;
%%% a larger one by sendfile or in pieces, by the command {sendfile, ...} of hornbeam_exchange.
-module(hornbeam_static).

-export([context/2, publish/2, forget/1, answer/3]).

-include("hornbeam_head.hrl").
-include("hornbeam_static_files.hrl").

-record(folder, {
    prefix :: binary(),                     % <<>> or <<"/assets">>
    root :: binary(),                       % real
    options :: hornbeam_option_static:options(),
    immutable :: none | term(),             % compiled
    types :: hornbeam_static_types:table()
}).
%% A request on its way.
-record(asked, {
    head :: #head{},
    folder :: #folder{},
    names = [] :: [binary()]
}).

-define(IMMUTABLE, <<"public, max-age=31536000, immutable">>).
-define(GET_OR_HEAD(Method), (Method =:= <<"GET">> orelse Method =:= <<"HEAD">>)).

%% @doc What hornbeam_exchange is told, for all requests of a server.
-spec context(Name :: atom(), Config :: map()) -> none | {module(), Name :: atom()}.
context(Name, #{static := [_ | _]}) -> {?MODULE, Name};
context(_Name, #{}) -> none.

%% @doc The folders of a server's validated options, the longest prefix first.
-spec publish(Name :: atom(), [hornbeam_option_static:static()]) -> ok.
publish(Name, Static) ->
    Types = hornbeam_static_types:table(),
    Folders = [folder(One, Types) || One <- Static],
    Longer = fun(A, B) -> byte_size(A#folder.prefix) >= byte_size(B#folder.prefix) end,
    persistent_term:put({?MODULE, Name}, lists:sort(Longer, Folders)).

folder({Prefix, Path, Given}, Types) ->
    #{immutable := Pattern} = Options = hornbeam_option_static:with_defaults(Given),
    {ok, Root} = case hornbeam_static_files:real(Path) of {ok, _} = Real -> Real; error -> {ok, Path} end,
    #folder{prefix = case Prefix of <<"/">> -> <<>>; _ -> Prefix end, root = Root, options = Options, types = Types,
            immutable = case Pattern of <<>> -> none; _ -> {ok, Compiled} = re:compile(Pattern), Compiled end}.

%% @doc The server has ended.
-spec forget(Name :: atom()) -> ok.
forget(Name) ->
    _ = persistent_term:erase({?MODULE, Name}) andalso hornbeam_static_files:forget(),
    ok.

%% @doc The response, or `pass': it is the mount's. Mount: the prefix of the one that would have it.
%% `refused': the server's own answer, which hooks may make.
-spec answer(#head{}, Mount :: binary() | none, Name :: atom()) ->
    hornbeam_exchange:command() | pass | {refused, hornbeam_error:reason(), hornbeam_exchange:command()}.
answer(Head, Mount, Name) ->
    below(persistent_term:get({?MODULE, Name}, []), Head, Mount).

below([#folder{prefix = Prefix} = Folder | Shorter], #head{path = Path} = Head, Mount) ->
    Size = byte_size(Prefix),
    case Path of
        _ when is_binary(Mount), byte_size(Mount) > Size -> pass;
        <<Prefix:Size/binary>> -> tried(Folder, <<>>, Shorter, Head, Mount);
        <<Prefix:Size/binary, $/, _/binary>> -> tried(Folder, binary:part(Path, Size, byte_size(Path) - Size), Shorter, Head, Mount);
        _ -> below(Shorter, Head, Mount)
    end;
below([], _Head, _Mount) ->
    pass.

tried(Folder, Rest, Shorter, Head, Mount) ->
    case serve(Rest, #asked{head = Head, folder = Folder}) of
        {missing, Reason} ->
            case falls_through(Folder, Mount) of
                true -> below(Shorter, Head, Mount);
                false -> refused(Reason, Head)
            end;
        Reply -> Reply
    end.

falls_through(#folder{prefix = Prefix, options = #{fallthrough := auto}}, Mount) -> Prefix =:= Mount;
falls_through(#folder{options = #{fallthrough := Falls}}, _Mount) -> Falls.

serve(Rest, #asked{head = #head{method = Method}, folder = #folder{options = #{well_known := WellKnown}}} = Asked) when ?GET_OR_HEAD(Method) ->
    case hornbeam_static_path:resolve(Rest, WellKnown) of
        {ok, Names, Kind} -> found(find(Names, Asked), Kind, Names, Asked);
        refused -> {missing, not_found}
    end;
serve(_Rest, _Asked) ->
    {missing, method_not_allowed}.

find([], _Asked) -> folder;
find(Names, #asked{folder = #folder{root = Root, options = #{precompressed := Packed}}}) -> hornbeam_static_files:find(Root, Names, Packed).

found({file, Files}, file, Names, Asked) -> file(Files, Asked#asked{names = Names});
found(folder, Kind, Names, #asked{folder = #folder{options = #{index := Index}}} = Asked) when Index =/= <<>> ->
    WithIndex = Names ++ [Index],
    case find(WithIndex, Asked) of
        {file, Files} when Kind =:= folder -> file(Files, Asked#asked{names = WithIndex});
        {file, _} -> to_folder(Asked);
        _ -> fallback(Asked)
    end;
found(_, _Kind, _Names, Asked) -> fallback(Asked).

%% Relative to the path that was asked for, whatever a proxy has taken off it; and so never another host's.
to_folder(#asked{head = #head{path = Path, query = Query}}) ->
    Last = lists:last(binary:split(Path, <<"/">>, [global])),
    Location = <<"./", Last/binary, "/", (case Query of <<>> -> <<>>; _ -> <<"?", Query/binary>> end)/binary>>,
    {reply, 301, [{<<"location">>, Location}, {<<"cache-control">>, <<"no-cache">>}], 0, <<>>}.

%% One page for all paths that its script knows. Only for who has asked for HTML by name, as browsers do when somebody goes there.
fallback(#asked{folder = #folder{options = #{fallback := <<>>}}}) ->
    {missing, not_found};
fallback(#asked{head = #head{fields = Fields}, folder = #folder{options = #{fallback := Fallback}}} = Asked) ->
    Names = binary:split(Fallback, <<"/">>, [global]),
    case hornbeam_preferences:weight(<<"text/html">>, hornbeam_preferences:offers(<<"accept">>, Fields), 0) > 0 andalso find(Names, Asked) of
        {file, Files} -> file(Files, Asked#asked{names = Names});
        _ -> {missing, not_found}
    end.

%%% A file that is there

file([{identity, _} = Only], Asked) -> file(Only, false, Asked);
file(Files, #asked{head = #head{fields = Fields}} = Asked) -> file(coding(Files, hornbeam_preferences:offers(<<"accept-encoding">>, Fields)), true, Asked).

%% RFC 9110, 12.5.3: what the client likes best of what there is; the most packed of those that it likes alike.
coding([{identity, _} = Identity | Packed], Offers) ->
    Any = hornbeam_preferences:weight(<<"*">>, Offers, 0),
    Liked = [{Weight, -N, One} || {N, {Coding, _} = One} <- lists:enumerate(Packed),
                                  Weight <- [hornbeam_preferences:weight(atom_to_binary(Coding), Offers, Any)], Weight > 0],
    case lists:sort(Liked) of
        [] -> Identity;
        [_ | _] = Sorted ->
            {Weight, _, Best} = lists:last(Sorted),
            case hornbeam_preferences:weight(<<"identity">>, Offers, 0) > Weight of true -> Identity; false -> Best end
    end.

file({Coding, Found}, Varies, #asked{head = #head{method = <<"HEAD">>}} = Asked) ->
    whole_or_parts(Found, Coding, Varies, Asked);
file({Coding, Found} = One, Varies, Asked) ->
    Key = key(Asked),
    case conditional(Found, Coding, Varies, Asked) of
        {go, Said} ->
            case hornbeam_static_files:content(Key, One) of
                {ok, File} -> opened(File, Found, Said, Coding, Varies, Asked);
                large -> large(Key, Found, Said, Coding, Varies, Asked);
                none -> {missing, not_found};
                no_descriptor -> refused(no_descriptor, Asked#asked.head)
            end;
        {done, Reply} -> Reply
    end.

key(#asked{names = Names, folder = #folder{root = Root, options = #{precompressed := Packed}}}) -> {Root, Names, Packed}.

large(Key, Found, Said, Coding, Varies, #asked{head = Head} = Asked) ->
    case hornbeam_static_files:open(Key, Coding) of
        {ok, Fd, File} ->
            Reply = opened(File, Found, Said, Coding, Varies, Asked),
            case Reply of
                {reply, Status, Fields, Length, {pieces, Pieces}} ->
                    {reply, Status, Fields, Length, {sendfile, Length, [piece(Piece, Fd) || Piece <- Pieces]}};
                _ -> _ = file:close(Fd), Reply
            end;
        none -> {missing, not_found};
        no_descriptor -> refused(no_descriptor, Head)
    end.

piece({Offset, Size}, Fd) -> {file, Fd, Offset, Size};
piece(Octets, _Fd) -> Octets.

%% The preconditions once more where what was opened is no longer what was found.
opened(#file{size = Size, modified = Modified} = File, #file{size = Size, modified = Modified}, Said, _Coding, _Varies, Asked) ->
    body(Said, File, Asked);
opened(File, _Found, _Said, Coding, Varies, Asked) ->
    whole_or_parts(File, Coding, Varies, Asked).

whole_or_parts(File, Coding, Varies, Asked) ->
    case conditional(File, Coding, Varies, Asked) of
        {done, Reply} -> Reply;
        {go, Said} -> body(Said, File, Asked)
    end.

body({Fields, Type, ETag, Modified}, #file{size = Size} = File, #asked{head = #head{method = Method, fields = Client}}) ->
    Whole = [{<<"content-type">>, Type} | Fields],
    case Method =:= <<"GET">> andalso hornbeam_headers:find(<<"range">>, Client) of
        false -> {reply, 200, Whole, Size, <<>>};
        error -> {reply, 200, Whole, Size, octets([{0, Size}], File)};
        {ok, Range} ->
            case hornbeam_static_conditional:is_same(Client, ETag, Modified) andalso hornbeam_static_ranges:select(Range, Size) of
                Not when Not =:= false; Not =:= whole -> {reply, 200, Whole, Size, octets([{0, Size}], File)};
                unsatisfiable -> refused(range_not_satisfiable, Method, [{<<"content-range">>, hornbeam_static_ranges:content_range(unsatisfiable, Size)}]);
                [{_, Part} = One] ->
                    {reply, 206, [{<<"content-range">>, hornbeam_static_ranges:content_range(One, Size)} | Whole], Part, octets([One], File)};
                Ranges ->
                    {Multipart, Length, Pieces} = hornbeam_static_ranges:parts(Ranges, Type, Size),
                    {reply, 206, [{<<"content-type">>, Multipart} | Fields], Length, octets(Pieces, File)}
            end
    end.

octets([{0, Size}], #file{content = Content, size = Size}) when is_binary(Content) -> Content;
octets(Pieces, #file{content = none}) -> {pieces, Pieces};
octets(Pieces, #file{content = Content}) -> [case Piece of {Offset, Size} -> binary:part(Content, Offset, Size); _ -> Piece end || Piece <- Pieces].

%% What is said of a file, unless a precondition decides.
conditional(#file{size = Size, modified = Modified}, Coding, Varies, #asked{head = #head{fields = Client}} = Asked) ->
    ETag = etag(Size, Modified, Coding),
    Date = hornbeam_date:format(Modified),
    Always = [{<<"etag">>, ETag}, {<<"last-modified">>, Date} | always(Varies, Asked)],
    case hornbeam_static_conditional:check(Client, ETag, Modified) of
        ok -> {go, {[{<<"accept-ranges">>, <<"bytes">>} | coded(Coding, Always)], type(Asked), ETag, Date}};
        not_modified -> {done, {reply, 304, Always, none, <<>>}};
        failed -> {done, refused(precondition_failed, Asked#asked.head)}
    end.

etag(Size, Modified, Coding) ->
    <<$", (integer_to_binary(Modified, 16))/binary, $-, (integer_to_binary(Size, 16))/binary,
      (case Coding of identity -> <<>>; _ -> <<$-, (atom_to_binary(Coding))/binary>> end)/binary, $">>.

coded(identity, Fields) -> Fields;
coded(Coding, Fields) -> [{<<"content-encoding">>, atom_to_binary(Coding)} | Fields].

always(Varies, #asked{head = #head{path = Path}, names = Names, folder = #folder{immutable = Pattern, options = #{cache_control := Control}}}) ->
    Vary = [{<<"vary">>, <<"accept-encoding">>} || Varies],
    case is_immutable(Pattern, lists:last(Names), Path) of
        true -> [{<<"cache-control">>, ?IMMUTABLE} | Vary];
        false when Control =:= <<>> -> Vary;
        false -> [{<<"cache-control">>, Control} | Vary]
    end.

%% The path as it was asked for, of a file of that name: an index file or a fallback is never meant.
is_immutable(none, _Name, _Path) -> false;
is_immutable(Pattern, Name, Path) -> binary:longest_common_suffix([Name, Path]) =:= byte_size(Name) andalso re:run(Path, Pattern, [{capture, none}]) =:= match.

type(#asked{names = Names, folder = #folder{types = Types}}) -> hornbeam_static_types:find(lists:last(Names), Types).

%%% Otherwise

refused(method_not_allowed = Reason, #head{method = Method}) -> refused(Reason, Method, [{<<"allow">>, <<"GET, HEAD">>}]);
refused(Reason, #head{method = Method}) -> refused(Reason, Method, []).

refused(Reason, Method, More) ->
    {reply, Status, Fields, Length, Body} = hornbeam_error:reply(Reason, Method),
    {refused, Reason, {reply, Status, Fields ++ More, Length, Body}}.
